"""`paper.csv`: every printed value beside ours, whether they agree, and where the slides contradict themselves."""

from __future__ import annotations

import math

import pandas as pd

from ala.report import rows, slides
from ala.report.markdown import ABSENT, grid, number, spread
from ala.report.run import Run

COLUMNS = [
    "table", "row", "metric", "printed", "printed_spread", "ours", "ours_std", "n_seeds", "n_images", "difference",
    "combined_spread", "verdict", "mark", "command",
]  # fmt: skip
WITHIN, OUTSIDE, NOT_COMPARABLE, NOT_RUN = "within", "outside", "not comparable", "not run"

_ROUNDING = 0.0015  # three values printed to three digits, each off by at most 0.0005

CAPTION = (
    "Printed: slides 26 and 31. Ours: over all images of the row, whose number stands beside; rows of other numbers"
    " must not be compared with each other. `within`: |ours − printed| is at most √(spread² + sd²); how many runs stand"
    " behind a printed spread, and which kind it is, the slides do not say. Only the profile `paper` is judged: other"
    " photos and another encoder are not comparable."
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
    twin = {("main", "ala"): ("ablation", "iii"), ("ablation", "iii"): ("main", "ala")}.get((name, row))
    if twin is not None:
        other = slides.printed(twin[0])[twin[1]][metric]
        if other.spread != cells[metric].spread:
            where = "ablation (iii)" if twin[0] == "ablation" else "main table, Ours"
            said.append(f"the same model has ± {other.spread:.3f} in the {where}")
    return "; ".join(said)


def table(run: Run, main: pd.DataFrame, ablation: pd.DataFrame) -> pd.DataFrame:
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
    return pd.DataFrame(lines, columns=COLUMNS, dtype=object)


def _beside(run: Run, value: slides.Printed, line: pd.Series, metric: str) -> dict[str, object]:
    mean, deviation = line[f"{metric}_mean"], line[f"{metric}_std"]
    found: dict[str, object] = {"n_seeds": line["n_seeds"], "command": line["command"]}
    found["n_images"] = line["n_images" if metric == "miou" else "n_perturbed"]
    if not isinstance(mean, float) or math.isnan(mean):
        return found
    known = isinstance(deviation, float) and not math.isnan(deviation)
    combined = math.hypot(value.spread, deviation) if known else None
    found |= {"ours": mean, "ours_std": deviation if known else None, "difference": mean - value.mean,
              "combined_spread": combined}  # fmt: skip
    if not run.comparable:
        return found | {"verdict": NOT_COMPARABLE}
    if combined is None:
        return found | {"verdict": "one seed has no spread"}
    return found | {"verdict": WITHIN if abs(mean - value.mean) <= combined else OUTSIDE}


def markdown(frame: pd.DataFrame) -> str:
    """The table, rounded, with its caption."""
    head = ["table", "row", "metric", "printed", "ours", "images", "difference", "combined spread", "verdict",
            "on the slides"]  # fmt: skip
    lines = []
    for line in frame.to_dict("records"):
        cells = [
            line["table"],
            rows.LABELS[line["row"]],
            line["metric"],
            spread(line["printed"], line["printed_spread"]),
        ]
        images = ABSENT if line["n_images"] is None else str(line["n_images"])
        cells += [spread(line["ours"], line["ours_std"]), images]
        cells += [number(line["difference"]), number(line["combined_spread"])]
        lines.append([*cells, line["verdict"], line["mark"] or "–"])
    return (
        "\n\n".join(
            ["# Paper against run", CAPTION, grid(head, lines, left=3), "Full precision: [paper.csv](paper.csv)."]
        )
        + "\n"
    )
