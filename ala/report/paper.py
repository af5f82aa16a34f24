"""`paper.csv`: every printed value beside ours, whether they agree, and where the slides contradict themselves."""

from __future__ import annotations

import math

import pandas as pd

from ala.report import slides
from ala.report.run import Run
from ala.report.table import Table
from ala.report.text import NOT_RUN, absent

COLUMNS = [
    "table", "row", "metric", "printed", "printed_spread", "ours", "ours_std", "n_seeds", "n_images", "difference",
    "combined_spread", "verdict", "mark", "command",
]  # fmt: skip
WITHIN, OUTSIDE, NOT_COMPARABLE = "within", "outside", "not comparable"

_ROUNDING = 0.0015  # three values printed to three digits, each off by at most 0.0005

CAPTION = (
    "Printed: slides 26 and 31. Ours: over all images of the row, whose number is beside; rows of other numbers"
    " must not be compared with each other. `within`: |ours − printed| is at most √(spread² + sd²); how many runs stand"
    " behind a printed spread, and which kind it is, the slides do not say. Only the profile `paper` is judged: other"
    " images and another encoder are not comparable."
)


def mark(name: str, row: str, metric: str) -> str:
    """What is inconsistent about a printed value, by the slides' own arithmetic; empty where nothing is.

    ID must be Insertion - Deletion within rounding (METHODS 5.7), and "Ours" of the main table is row (iii) of the
    ablation, so their spreads should be equal.
    """
    cells = slides.printed(name)[row]
    said = []
    gap = cells["id"].mean - (cells["insertion"].mean - cells["deletion"].mean)
    if metric == "id" and abs(gap) > _ROUNDING:
        said.append(f"printed ID is {abs(gap):.3f} {'above' if gap > 0 else 'below'} Insertion − Deletion")
    same = slides.content()["same_model"]
    if [name, row] in same:
        other_table, other_row = next(each for each in same if each != [name, row])
        other = slides.printed(other_table)[other_row][metric]
        if other.spread != cells[metric].spread:
            where = f"ablation ({other_row})" if other_table == "ablation" else "main table, Ours"
            said.append(f"the same model has ± {other.spread:.3f} in the {where}")
    return "; ".join(said)


def table(run: Run, main: pd.DataFrame, ablation: pd.DataFrame) -> Table:
    """One line per printed value, from the tables `main` and `ablation` of this run."""
    lines = []
    for name, key, ours in (("main", "method", main), ("ablation", "row", ablation)):
        for row, cells in slides.printed(name).items():
            found = ours[ours[key] == row]
            for metric, value in cells.items():
                line: dict[str, object] = dict.fromkeys(COLUMNS)
                line |= {"table": name, "row": row, "metric": metric, "verdict": NOT_RUN}
                line |= {"printed": value.mean, "printed_spread": value.spread, "mark": mark(name, row, metric)}
                if len(found):
                    line |= _beside(run, value, found.iloc[0], metric)
                lines.append(line)
    text = ("row", "metric", "printed", "printed_spread", "ours", "ours_std", "n_images", "difference",
            "combined_spread", "verdict", "mark")  # fmt: skip
    lead = ("row", "metric", "printed", "ours", "difference", "verdict")
    frame = pd.DataFrame(lines, columns=COLUMNS, dtype=object)
    return Table("paper", frame, "Paper beside this run", CAPTION, text, lead)


def _beside(run: Run, value: slides.Printed, line: pd.Series, metric: str) -> dict[str, object]:
    mean, deviation = line[f"{metric}_mean"], line[f"{metric}_std"]
    found: dict[str, object] = {"n_seeds": line["n_seeds"], "command": line["command"]}
    found["n_images"] = line["n_images" if metric == "miou" else "n_perturbed"]
    if not isinstance(mean, float) or absent(mean):
        return found
    combined = None if absent(deviation) else math.hypot(value.spread, deviation)
    found |= {"ours": mean, "ours_std": None if absent(deviation) else deviation, "difference": mean - value.mean,
              "combined_spread": combined}  # fmt: skip
    if not run.comparable:
        return found | {"verdict": NOT_COMPARABLE}
    if combined is None:
        return found | {"verdict": "one seed has no spread"}
    return found | {"verdict": WITHIN if abs(mean - value.mean) <= combined else OUTSIDE}
