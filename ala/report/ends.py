"""`curve_ends.csv`: where insertion and deletion curves start and end, by evaluated model, beside the chance level."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ala.report.rows import Row
from ala.report.run import Run
from ala.report.summary import spread
from ala.report.table import Table
from ala.report.text import text_of

#: Ends of a curve by name: the curve, and the position of the end in it.
ENDS = {
    "insertion_start": ("insertion", 0), "insertion_end": ("insertion", -1),
    "deletion_start": ("deletion", 0), "deletion_end": ("deletion", -1),
}  # fmt: skip
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


def table(run: Run) -> Table:
    """`curve_ends.csv`."""
    return Table("curve_ends", frame(run), "Start and end of the curves", CAPTION)


def frame(run: Run, shown: Iterable[Row] | None = None) -> pd.DataFrame:
    """One line per evaluated model whose curves were kept, in the columns of :data:`COLUMNS`.

    `rows` are the rows of the tables that were measured on it; with `shown`, only models behind those rows.
    `far_above_chance` names the ends of which :data:`FAR` holds.
    """
    behind: dict[str, list[Row]] = {}
    for row in run.rows.shown if shown is None else shown:
        behind.setdefault(row.evaluated, []).append(row)
    lines = []
    for model, rows in behind.items():
        first = next((row for row in rows if _kept(run, row)), None)  # all of them share their ends
        if first is None:
            continue
        seeds = _kept(run, first)
        images = run.of(first, "insertion")
        line: dict[str, object] = {
            "model": model, "rows": " ".join(row.name for row in rows), "n_seeds": len(seeds),
            "n_images": min(len(images[seed]) for seed in seeds), "chance": chance(run),
            "command": first.command(seeds),
            "scores": " ".join(f"scores/{first.folder(seed)}/curves.npz" for seed in seeds),
        }  # fmt: skip
        for end, (kind, place) in ENDS.items():
            values = pd.Series([float(run.curves[first.method, seed][kind][place]) for seed in seeds])
            line[f"{end}_mean"], line[f"{end}_std"] = spread(values)
        line["far_above_chance"] = " ".join(_far(line))
        lines.append(line)
    return pd.DataFrame(lines, columns=COLUMNS)


def chance(run: Run) -> float | None:
    """1/K of the K classes of the data set; None where the data stage did not say how many there are."""
    classes = run.data.get("classes")
    return 1 / classes if classes else None


def _kept(run: Run, row: Row) -> list[int]:
    return [seed for seed in run.seeds(row) if {"insertion", "deletion"} <= set(run.curves.get((row.method, seed), {}))]


def _far(line: dict[str, object]) -> list[str]:
    level = line["chance"]
    if not isinstance(level, float):
        return []
    above = {end: float(str(line[f"{end}_mean"])) - level for end in ENDS}
    return [end for end in ("insertion_start", "deletion_end") if above[end] > FAR * above["insertion_end"]]


def sentence(run: Run, shown: Iterable[Row] | None = None) -> str:
    """Both ends of both curves in words, as a range over the evaluated models behind the rows `shown` (all rows).

    Empty where no curve was kept.
    """
    found = frame(run, shown)
    if found.empty:
        return ""
    blurred, whole, _, empty = (_range(found[f"{end}_mean"]) for end in ENDS)
    models = "the evaluated model" if len(found) == 1 else f"{len(found)} evaluated models"
    level = chance(run)
    said = (
        f"Mean probability of the target class on {models}: insertion runs from {blurred} (fully blurred image) to"
        f" {whole} (whole image), deletion from {whole} to {empty} (every pixel replaced)"
    )
    said += f"; chance is 1/K = {text_of(level)}." if level is not None else "."
    far = set(" ".join(found["far_above_chance"]).split())
    if "insertion_start" in far:
        said += (
            " **Insertion starts far above chance: the blurred image still shows the class, so Insertion hardly tells"
            " maps apart.**"
        )
    if "deletion_end" in far:
        said += " **Deletion ends far above chance: the empty image is still taken for the class.**"
    return said


def _range(values: pd.Series) -> str:
    low, high = text_of(float(values.min())), text_of(float(values.max()))
    return low if low == high else f"{low}–{high}"
