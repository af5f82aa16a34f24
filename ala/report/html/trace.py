"""From a row of a table to its line in the CSV, its command, and the per-image scores that it was averaged from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ala.report import rows
from ala.report.run import Run

#: Columns that name what was scored.
NAMING = ("method", "row", "variant", "higher", "lower", "first", "second", "method_a", "method_b", "a", "b")


@dataclass(frozen=True)
class Trace:
    """Where a row comes from.

    Attributes:
        link: its line of the CSV, as a fragment of RFC 7111 (the header is line 1).
        line: that line's number.
        commands: what makes it again.
        scores: files of per-image scores, relative to the project; of the zero-shot accuracy where it is written.
    """

    link: str
    line: int
    commands: list[str]
    scores: list[str]


def trace(run: Run, table: str, line: int, row: Mapping[str, str]) -> Trace:
    """The source of `row`, which stands in line `line` of `tables/TABLE.csv`.

    The columns `command` and `scores` (paths, one space between) are taken as they are; where a table has none, they
    follow from the methods that the row names and from its seed, if it has one.
    """
    found = _methods(run, row)
    seeds = [seed for seed in run.settings.seeds if row.get("seed", str(seed)) == str(seed)]
    if row.get("command"):
        commands = [row["command"]]
    else:
        commands = list(dict.fromkeys(rows.command(method, seeds, run.settings) for method in found)) if seeds else []
    if row.get("scores"):
        scores = row["scores"].split()
    elif row.get("method") == rows.ZERO_SHOT:
        scores = ["models/encoder/metrics.json"]
    else:
        scores = [
            f"scores/{rows.place(method, seed, run.settings)}/scores.csv"
            for method in found
            for seed in seeds
            if (method, seed) in run.cells
        ]
    return Trace(f"tables/{table}.csv#row={line}", line, commands, list(dict.fromkeys(scores)))


def _methods(run: Run, row: Mapping[str, str]) -> list[str]:
    known = set(rows.methods(run.settings))
    words = [word for column in NAMING for word in row.get(column, "").split()]
    named = rows.methods(run.settings) if "all" in words else [rows.scored_as(word, run.settings) for word in words]
    return [method for method in dict.fromkeys(named) if method in known]
