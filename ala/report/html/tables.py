"""The third rendering of a table: for the page's template, each row with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ala.report.rows import ZERO_SHOT
from ala.report.run import Run
from ala.report.table import NAMING, Cell, Column, Table, cells, columns
from ala.report.text import absent

#: A longer table is cut, and the page says so: its CSV has the rest.
MOST_ROWS = 1000


@dataclass(frozen=True)
class Trace:
    """Where a row comes from.

    Attributes:
        link: its line of the CSV, as a fragment of RFC 7111 (the header is line 1).
        line: that line's number.
        command: what makes it again.
        scores: files of per-image scores, relative to the project; of the zero-shot accuracy where it is written.
    """

    link: str
    line: int
    command: str
    scores: list[str]


@dataclass(frozen=True)
class Shown:
    """A table ready for the template; `left_out` rows are in the CSV alone."""

    name: str
    heading: str
    caption: str
    columns: list[Column]
    lines: list[tuple[list[Cell], Trace]]
    left_out: int


def shown(run: Run, table: Table) -> Shown:
    """The table as the page has it."""
    chosen = columns(table, run.comparable)
    traces = [trace(run, table.name, number, record) for number, record in enumerate(table.frame.to_dict("records"), 2)]
    lines = list(zip(cells(table, chosen, run.rows), traces, strict=True))
    left_out = max(0, len(lines) - MOST_ROWS)
    return Shown(table.name, table.heading, table.caption, chosen, lines[:MOST_ROWS], left_out)


def trace(run: Run, table: str, line: int, record: Mapping[Any, Any]) -> Trace:
    """The source of a row, which is in line `line` of `tables/TABLE.csv`.

    The column `scores` (paths, one space between) is taken as it is; where a table has none, the files follow from the
    methods that the row names and from its seed, if it has one.
    """
    words = [word for name in NAMING if isinstance(record.get(name), str) for word in record[name].split()]
    if isinstance(record.get("scores"), str):
        files = record["scores"].split()
    elif ZERO_SHOT in words:
        files = ["models/encoder/metrics.json"]
    else:
        named = run.rows.methods if "all" in words else [run.rows[word] for word in words if word in run.rows]
        files = [f"scores/{row.folder(seed)}/scores.csv" for row in named for seed in run.seeds(row)
                 if record.get("seed", seed) == seed]  # fmt: skip
    command = record.get("command")
    return Trace(f"tables/{table}.csv#row={line}", line, "" if absent(command) else str(command),
                 list(dict.fromkeys(files)))  # fmt: skip
