"""One frame, shown three ways: as CSV in full precision, as a Markdown table, and as a table of the page.

A :class:`Table` holds the frame and what a reader must know about it. :func:`columns` and :func:`cells` say what is
shown: spreads beside their means, interval ends beside each other, numbers to three digits. :mod:`ala.report.render`
and the page render that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from ala.report.rows import Rows
from ala.report.text import ABSENT, NOT_RUN, absent, is_number, number_text, text_of

#: Columns that name what was scored.
NAMING = ("method", "row", "rows", "model", "higher", "lower", "first", "second")
#: The kind of each verdict: it chooses colour and sign.
KINDS = {"holds": "good", "does not hold": "bad", "cannot be told": "open", NOT_RUN: "none"}

#: Headings of columns; any other is shown with spaces for underscores.
LABELS = {
    "n_seeds": "seeds", "n_images": "images", "n_common": "common images", "n_perturbed": "images perturbed",
    "n_perturbed_common": "common images perturbed", "n_worst": "worst images", "n_protocols": "protocols",
    "image_id": "image", "insertion_start": "Insertion: blurred image", "insertion_end": "Insertion: whole image",
    "deletion_start": "Deletion: whole image", "deletion_end": "Deletion: empty image",
    "aea": "AEA", "sbn": "SBN", "miou": "mean IoU ↑", "miou_fixed": "IoU, fixed 0.5 ↑", "miou_otsu": "IoU, Otsu ↑",
    "miou_val": "IoU, best on validation ↑", "insertion": "Insertion ↑", "deletion": "Deletion ↓", "id": "ID ↑",
    "iou": "IoU", "paper_miou": "slides: mean IoU", "paper_insertion": "slides: Insertion",
    "paper_deletion": "slides: Deletion", "paper_id": "slides: ID", "paper_difference": "slides: difference",
    "higher_mean": "mean of the higher", "lower_mean": "mean of the lower", "ci": "95 % interval", "reason": "why",
    "p_holm": "p after Holm", "seeds_to_halve": "half as wide with", "rho": "ρ", "mark": "on the slides",
    "empty_mean_std": "empty, mean + std", "empty_fixed": "empty, fixed 0.5", "empty_otsu": "empty, Otsu",
    "empty_val": "empty, best on validation", "tau_val": "τ of validation", "tie_share": "tied pixels",
    "collapsed_constant": "constant maps", "collapsed_one_pixel": "maps of one pixel",
    "paper": "slides:",
    "insertion_own": "Insertion ↑, own model", "insertion_common": "Insertion ↑, common model",
    "deletion_own": "Deletion ↓, own model", "deletion_common": "Deletion ↓, common model",
    "id_own": "ID ↑, own model", "id_common": "ID ↑, common model",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table and how it is explained.

    Attributes:
        name: of its files.
        frame: in full precision, as the CSV has it.
        heading, caption: of the page and the Markdown twin; the caption is Markdown.
        text: columns of the Markdown twin, after the first; empty for all.
        lead: columns that stay longest where the window is too narrow for all, after the first. In `text` and `lead`,
            `miou` means `miou_common_mean` or `miou_mean` where there is no column `miou`.
        best: column to whether larger is better; its twin over the images that all rows share is compared instead.
        rivals: rows that compete for it, by the first column; empty where all do.
        csv_only: columns over all images of a row that are not shown where the common images are fewer.
        spreads: spreads of columns without the suffix `_mean`, which the CSV does not have, by column.
    """

    name: str
    frame: pd.DataFrame
    heading: str
    caption: str = ""
    text: tuple[str, ...] = ()
    lead: tuple[str, ...] = ()
    best: Mapping[str, bool] = field(default_factory=dict)
    rivals: frozenset[str] = frozenset()
    csv_only: tuple[str, ...] = ()
    spreads: Mapping[str, list[object]] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """One column that is shown, made of one or two columns of the frame."""

    sources: tuple[str, ...]
    label: str
    numeric: bool
    foreign: bool = False  # from the slides, in a run that must not be compared with them
    turn: int = 0  # place among the columns of its table when the window has no room for all: 0 stays longest


@dataclass(frozen=True)
class Cell:
    """`text` as shown, `title` with the full values, `order` to sort by; `kind` of a verdict; `image`: an image id."""

    text: str
    title: str = ""
    order: str = ""
    best: bool = False
    kind: str = ""
    image: str = ""


def label(name: str) -> str:
    """How column `name` is headed: by its own label, or by that of the longest known beginning and what follows it."""
    parts = name.split("_")
    for length in range(len(parts), 0, -1):
        known = LABELS.get("_".join(parts[:length]))
        if known is not None:
            return known if length == len(parts) else " ".join([known.rstrip(" ↑↓"), *parts[length:]])
    return " ".join(parts)


def columns(table: Table, comparable: bool) -> list[Column]:
    """The columns that are shown; `comparable` is whether the slides' values judge the run.

    The source of a row (command, files of scores) is not among them. Of a score over the images that all rows share and
    the same over all images of a row, one is shown where they are equal in every row.
    """
    names = [str(name) for name in table.frame.columns]
    pairs = {name: _over_all(name) for name in names if "_common" in name and _over_all(name) in names}
    equal = {name for name, own in pairs.items() if _same(table.frame[name], table.frame[own])}
    twice = {name: own for name, own in pairs.items() if name not in equal}
    found: list[Column] = []
    taken = {"command", "scores", *equal, *(own for own in twice.values() if own in table.csv_only)}
    for name in names:
        if name in taken:
            continue
        base, _, tail = name.rpartition("_")
        partner = {"mean": f"{base}_std", "low": f"{base}_high"}.get(tail)
        sources = (name, partner) if partner in names else (name,)
        taken |= set(sources)
        shown = base if len(sources) == 2 or (tail == "mean" and base.removesuffix("_common") in LABELS) else name
        paired = name in (*twice, *twice.values()) and name not in LABELS
        text = label(shown.replace("_common", "") if paired else shown)
        if paired:
            text += ", common images" if name in twice else ", all images"
        if len(sources) == 2 and tail == "low" and base in names:  # beside the value that it is the interval of
            text += ", interval"
        foreign = not comparable and name.startswith(("paper_", "printed"))
        text += ", not comparable" if foreign else ""
        found.append(Column(sources, text, _numeric(table.frame[name]), foreign))
    turns = _by_turn(found, table.lead)
    return [replace(column, turn=turns.index(column)) for column in found]


def _over_all(name: str) -> str:
    """The column over all images of a row that is beside column `name` over the images that all rows share."""
    return {"n_common": "n_images"}.get(name, name.replace("_common", ""))


def _same(common: pd.Series, own: pd.Series) -> bool:
    return all(absent(a) or a == b for a, b in zip(common, own, strict=True))


def named_column(name: str, found: Iterable[Column]) -> list[Column]:
    """The column that `name` means (see :class:`Table`), in a list; an empty one if there is none."""
    of_source = {column.sources[0]: column for column in found}
    wanted = (name, f"{name}_common_mean", f"{name}_mean")
    return [of_source[source] for source in wanted if source in of_source][:1]


def _by_turn(found: list[Column], lead: Iterable[str]) -> list[Column]:
    """The first column, then `lead`, then the others, of which numbers of things and what is foreign come last."""
    others = sorted(found, key=lambda column: column.sources[0].startswith("n_") or column.foreign)
    return list(
        dict.fromkeys([*found[:1], *(column for name in lead for column in named_column(name, found)), *others])
    )


def cells(table: Table, shown: list[Column], rows: Rows) -> list[list[Cell]]:
    """What each line of the table shows in the columns of :func:`columns`."""
    records = table.frame.to_dict("records")
    best = _best(table, records, {column.sources[0] for column in shown})
    return [[_cell(table, column, number, line, (number, column.sources[0]) in best, rows) for column in shown]
            for number, line in enumerate(records)]  # fmt: skip


def _cell(table: Table, column: Column, number: int, line: Mapping[Any, Any], best: bool, rows: Rows) -> Cell:
    name, value = column.sources[0], line[column.sources[0]]
    if name == "verdict":
        return Cell(str(value), kind=KINDS.get(value, "none"))
    if name in NAMING and isinstance(value, str):
        shown = ", ".join(rows.label(part) for part in value.split()) or ABSENT
        return Cell(shown, title="" if shown == value else value)
    if not column.numeric:
        return Cell(text_of(value))
    text = number_text(name, value)
    pair = [line[source] for source in column.sources]
    if name in table.spreads:
        pair.append(table.spreads[name][number])
    if len(pair) == 2 and is_number(value) and not absent(pair[1]):
        second = text_of(pair[1])
        text = f"[{text}, {second}]" if name.endswith("_low") else f"{text} ± {second}"
    title = "; ".join(f"{source} {'empty' if absent(line[source]) else line[source]}" for source in column.sources)
    order = str(value) if is_number(value) else "-1e308"
    return Cell(text, title, order, best, image=str(value) if name == "image_id" else "")


def _best(table: Table, records: list[dict[Any, Any]], shown: set[str]) -> set[tuple[int, str]]:
    """(line, column) of the cells that show the best value of their column; ties at three digits share it.

    Of a score that is shown twice, the one over the images that all rows share is compared.
    """
    found = set()
    first = next(iter(table.frame.columns), "")
    for compared, larger in table.best.items():
        common = f"{compared.removesuffix('_mean')}_common_mean"
        name = common if common in shown else compared
        rivals = {number: float(line[name]) for number, line in enumerate(records)
                  if is_number(line.get(name)) and (not table.rivals or line[first] in table.rivals)}  # fmt: skip
        if rivals:
            best = text_of((max if larger else min)(rivals.values()))
            found |= {(number, name) for number, value in rivals.items() if text_of(value) == best}
    return found


def _numeric(values: Iterable[object]) -> bool:
    given = [value for value in values if not absent(value) and value != NOT_RUN]
    return bool(given) and all(map(is_number, given))
