"""`curve_ends.csv`: where insertion and deletion curves start and end, by evaluated model, beside the chance level."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ala.report import rows
from ala.report.markdown import grid, number, spread
from ala.report.run import Cell, Run

#: Ends of a curve by name: the curve, the position of the end in it, and the image that the model sees there.
ENDS = {
    "insertion_start": ("insertion", 0, "blurred image"),
    "insertion_end": ("insertion", -1, "whole image"),
    "deletion_start": ("deletion", 0, "whole image"),
    "deletion_end": ("deletion", -1, "empty image"),
}
COLUMNS = [
    "model", "rows", "n_seeds", "n_images", *(f"{end}_{kind}" for end in ENDS for kind in ("mean", "std")), "chance",
    "far_above_chance", "command", "scores",
]  # fmt: skip
#: An end without visible evidence is called far above chance where it keeps more than this share of what the whole
#: image gains over chance: p(end) - 1/K > FAR * (p(whole image) - 1/K).
FAR = 0.1

CAPTION = (
    "Mean probability of the target class at both ends of the official curves, mean over images, then mean ± sample"
    " standard deviation over seeds. The ends depend on the evaluated model and the images, not on the map. Chance:"
    f" 1/K of K classes. Far above chance: where nothing is inserted, or everything deleted, more than {100 * FAR:g} %"
    " is left of what the whole image gains over chance: the score then has less room in which maps can differ."
)


def table(run: Run, shown: Iterable[str] | None = None) -> pd.DataFrame:
    """One line per evaluated model whose curves were kept, in the columns of :data:`COLUMNS`.

    `rows` are the rows of the tables that were measured on it; with `shown`, only models behind those rows.
    `far_above_chance` names the ends of which :data:`FAR` holds.
    """
    behind: dict[str, list[str]] = {}
    for row in rows.shown(run.settings):
        if shown is None or row in shown:
            model = rows.evaluated_model(rows.scored_as(row, run.settings), run.settings)
            behind.setdefault(model, []).append(row)
    lines = []
    for model, names in behind.items():
        kept = [cell for cell in _first(run, names) if {"insertion", "deletion"} <= set(cell.curves)]
        if not kept:
            continue
        line: dict[str, object] = {
            "model": model, "rows": " ".join(names), "n_seeds": len(kept),
            "n_images": min(len(cell.perturbed) for cell in kept), "chance": chance(run),
            "command": rows.command(kept[0].method, [cell.seed for cell in kept], run.settings),
            "scores": " ".join(
                f"scores/{rows.place(cell.method, cell.seed, run.settings)}/curves.npz" for cell in kept
            ),
        }  # fmt: skip
        for end, (kind, place, _) in ENDS.items():
            values = pd.Series([float(cell.curves[kind][place]) for cell in kept])
            line |= {f"{end}_mean": float(values.mean()), f"{end}_std": float(values.std(ddof=1))}
        line["far_above_chance"] = " ".join(_far(line))
        lines.append(line)
    return pd.DataFrame(lines, columns=COLUMNS)


def chance(run: Run) -> float | None:
    """1/K of the K classes of the data set; None where the data stage did not say how many there are."""
    classes = run.data.get("classes")
    return 1 / classes if classes else None


def _first(run: Run, names: Iterable[str]) -> list[Cell]:
    """The cells of the first of the rows `names` that has curves: all of them share their ends."""
    return next((cells for cells in map(run.of, names) if any(cell.curves for cell in cells)), [])


def _far(line: dict[str, object]) -> list[str]:
    level = line["chance"]
    if not isinstance(level, float):
        return []
    above = {end: float(str(line[f"{end}_mean"])) - level for end in ENDS}
    return [end for end in ("insertion_start", "deletion_end") if above[end] > FAR * above["insertion_end"]]


def markdown(frame: pd.DataFrame) -> str:
    """The table, rounded, with its caption."""
    head = ["evaluated model", "rows", "seeds", "images"]
    head += [f"{kind}: {image}" for kind, _, image in ENDS.values()]
    lines = []
    for line in frame.to_dict("records"):
        cells = [f"`{line['model']}`", ", ".join(rows.LABELS[row] for row in str(line["rows"]).split())]
        cells += [str(line["n_seeds"]), str(line["n_images"])]
        cells += [spread(line[f"{end}_mean"], line[f"{end}_std"]) for end in ENDS]
        far = [ENDS[end][2] for end in str(line["far_above_chance"]).split()]
        lines.append([*cells, number(line["chance"]), ", ".join(far) or "no"])
    body = grid([*head, "chance", "far above chance"], lines, left=2) if lines else "not run"
    parts = ["# Start and end of the curves", CAPTION, body, "Full precision: [curve_ends.csv](curve_ends.csv)."]
    return "\n\n".join(parts) + "\n"


def sentence(run: Run, shown: Iterable[str] | None = None) -> str:
    """Both ends of both curves in words, as a range over the evaluated models behind the rows `shown` (all rows).

    Empty where no curve was kept.
    """
    frame = table(run, None if shown is None else list(shown))
    if frame.empty:
        return ""
    blurred, whole, _, empty = (_range(frame[f"{end}_mean"]) for end in ENDS)
    models = "the evaluated model" if len(frame) == 1 else f"{len(frame)} evaluated models"
    level = chance(run)
    said = (
        f"Mean probability of the target class on {models}: insertion runs from {blurred} (fully blurred image) to"
        f" {whole} (whole image), deletion from {whole} to {empty} (every pixel replaced)"
    )
    said += f"; chance is 1/K = {number(level)}." if level is not None else "."
    far = set(" ".join(frame["far_above_chance"]).split())
    if "insertion_start" in far:
        said += (
            " **Insertion starts far above chance: the blurred image still shows the class, so Insertion hardly tells"
            " maps apart.**"
        )
    if "deletion_end" in far:
        said += " **Deletion ends far above chance: the empty image is still taken for the class.**"
    return said


def _range(values: pd.Series) -> str:
    low, high = number(float(values.min())), number(float(values.max()))
    return low if low == high else f"{low}–{high}"
