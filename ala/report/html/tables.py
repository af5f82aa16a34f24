"""A CSV table as the page shows it: numbers to three digits with the full value beside, spreads beside their means."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ala.report import claims, rows
from ala.report.html import catalogue
from ala.report.html.trace import NAMING, Trace, trace
from ala.report.run import Run
from ala.utils.errors import UserError

#: A longer table is cut, and the page says so: its CSV has the rest.
MOST_ROWS = 1000
ABSENT = "–"
#: The kind of each verdict: it chooses colour and sign.
KINDS = {claims.HOLDS: "good", claims.FAILS: "bad", claims.OPEN: "open", claims.NOT_RUN: "none"}


@dataclass(frozen=True)
class Cell:
    """`text` as shown, `title` with the values as the CSV has them, `order` to sort by; `kind` of a verdict."""

    text: str
    title: str = ""
    order: str = ""
    best: bool = False
    kind: str = ""
    photo: str = ""


@dataclass(frozen=True)
class Column:
    """One column of the page, made of one or two columns of the CSV."""

    sources: tuple[str, ...]
    label: str
    numeric: bool
    foreign: bool = False  # from the slides, in a run that must not be compared with them
    turn: int = 0  # place among the columns of its table when the window has no room for all: 0 stays longest


@dataclass(frozen=True)
class Table:
    """A table ready for the template; `left_out` rows are in the CSV alone."""

    name: str
    heading: str
    caption: str
    columns: list[Column]
    lines: list[tuple[list[Cell], Trace]]
    left_out: int


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file as texts, just as they stand there.

    Raises:
        UserError: the file is no CSV with as many cells in each row as in the first.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no table ({error}); run `dvc repro report` to write it again") from None
    head = lines[0] if lines else []
    uneven = [number for number, line in enumerate(lines, 1) if len(line) != len(head)]
    if uneven:
        raise UserError(f"{path} line {uneven[0]} has not {len(head)} cells; run `dvc repro report` to write it again")
    return [dict(zip(head, line, strict=True)) for line in lines[1:]]


def table(run: Run, path: Path, caption: str | None = None) -> Table:
    """The CSV file `path` as a table; `caption` (Markdown) replaces that of the catalogue."""
    content = read(path)
    known = catalogue.TABLES.get(path.stem) or catalogue.Known(path.stem.replace("_", " ").capitalize(), "")
    columns = _columns(content, run.comparable, known)
    best = _best(content, known, {column.sources[0] for column in columns})
    lines = [
        (
            [_cell(column, row, (number, column.sources[0]) in best) for column in columns],
            trace(run, path.stem, number, row),
        )
        for number, row in enumerate(content[:MOST_ROWS], 2)
    ]
    return Table(
        path.stem, known.heading, known.caption if caption is None else caption, columns, lines,
        max(0, len(content) - MOST_ROWS),
    )  # fmt: skip


def _over_all(name: str) -> str:
    """The column over all images of a row that stands beside column `name` over the images that all rows share."""
    return {"n_common": "n_images"}.get(name, name.replace("_common", ""))


def _columns(content: list[dict[str, str]], comparable: bool, known: catalogue.Known) -> list[Column]:
    """Spreads join their means and interval ends each other; what the last column of the page tells is left out.

    Of a score over the images that all rows share and the same over all images of a row, one is shown where they are
    equal in every row.
    """
    names = list(content[0]) if content else []
    pairs = {name: _over_all(name) for name in names if "_common" in name and _over_all(name) in names}
    equal = {name for name, own in pairs.items() if all(row[name] == row[own] for row in content)}
    twice = {name: own for name, own in pairs.items() if name not in equal}
    merged: list[Column] = []
    taken = {"command", "scores", *equal, *(own for own in twice.values() if own in known.csv_only)}
    for name in names:
        if name in taken:
            continue
        base, _, tail = name.rpartition("_")
        partner = {"mean": f"{base}_std", "low": f"{base}_high"}.get(tail)
        sources = (name, partner) if partner in names else (name,)
        taken |= set(sources)
        plain = base.removesuffix("_common")
        shown = base if len(sources) == 2 or (tail == "mean" and plain in catalogue.COLUMNS) else name
        paired = name in (*twice, *twice.values()) and name not in catalogue.COLUMNS
        label = catalogue.column_label(shown.replace("_common", "") if paired else shown)
        if paired:
            label += ", common images" if name in twice else ", all images"
        if len(sources) == 2 and tail == "low" and base in names:  # beside the value that it is the interval of
            label += ", interval"
        foreign = not comparable and name.startswith(("paper_", "printed"))
        label += ", not comparable" if foreign else ""
        merged.append(Column(sources, label, _numeric(row[name] for row in content), foreign))
    by_turn = _by_turn(merged, known.lead)
    return [replace(column, turn=by_turn.index(column)) for column in merged]


def _by_turn(columns: list[Column], lead: Iterable[str]) -> list[Column]:
    """The first column, then `lead`, then the others, of which numbers of things and what is foreign come last."""
    of_source = {column.sources[0]: column for column in columns}
    chosen = [*columns[:1]]
    for name in lead:
        chosen += [of_source[source] for source in (name, f"{name}_common_mean", f"{name}_mean")
                   if source in of_source][:1]  # fmt: skip
    others = sorted(columns, key=lambda column: column.sources[0].startswith("n_") or column.foreign)
    return list(dict.fromkeys([*chosen, *others]))


def _numeric(values: Iterable[str]) -> bool:
    given = [value for value in values if value not in ("", claims.NOT_RUN)]
    return bool(given) and all(_number(value) is not None for value in given)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def rounded(text: str) -> str:
    """`text` to three digits if it is a number with a point or exponent; a dash if it is empty, else as it is.

    Whole numbers stay whole, and what would round to zero keeps its size (p-values).
    """
    value = _number(text)
    if value is None:
        return text or ABSENT
    if text.lstrip("+-").isdigit():
        return text
    return f"{value:.2g}" if 0 < abs(value) < 0.0005 else f"{value:.3f}"


def _cell(column: Column, row: Mapping[str, str], best: bool) -> Cell:
    name, value = column.sources[0], row[column.sources[0]]
    if name == "verdict":
        return Cell(value, kind=KINDS.get(value, "none"))
    if name in NAMING and value in rows.LABELS:
        return Cell(rows.LABELS[value], title=value)
    if not column.numeric:
        return Cell(value or ABSENT)
    text = rounded(value)
    if len(column.sources) == 2 and _number(value) is not None and row[column.sources[1]]:
        second = rounded(row[column.sources[1]])
        text = f"{text} ± {second}" if name.endswith("_mean") else f"[{text}, {second}]"
    title = "; ".join(f"{source} {row[source] or 'empty'}" for source in column.sources)
    order = value if _number(value) is not None else "-1e308"
    return Cell(text, title, order, best, photo=value if name == "image_id" else "")


def _best(content: list[dict[str, str]], known: catalogue.Known, shown: set[str]) -> set[tuple[int, str]]:
    """(line, column) of the cells that show the best value of their column; ties at three digits share it.

    Of a score that is `shown` twice, the one over the images that all rows share is compared.
    """
    found = set()
    for compared, larger in known.best.items():
        common = f"{compared.removesuffix('_mean')}_common_mean"
        name = common if common in shown else compared
        rivals = {
            number: row[name]
            for number, row in enumerate(content, 2)
            if _number(row.get(name, "")) is not None and (not known.rivals or next(iter(row.values())) in known.rivals)
        }
        if rivals:
            best = rounded((max if larger else min)(rivals.values(), key=float))
            found |= {(number, name) for number, value in rivals.items() if rounded(value) == best}
    return found
