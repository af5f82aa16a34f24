"""Two of the three renderings of a table: CSV and Markdown; ala.report.html.tables is the third."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ala.report.rows import Rows
from ala.report.table import Table, cells, columns, named_column
from ala.report.text import ABSENT, NOT_RUN
from ala.utils.files import write_text


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """The first rendering: full precision, `\\n` at the end of every line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False, lineterminator="\n")


def markdown(table: Table, rows: Rows, comparable: bool, text: tuple[str, ...] | None = None) -> str:
    """The second rendering: a Markdown table of the columns `text` (default: `table.text`), after the first one.

    Bold: the best values, and verdicts. The slides' values are in brackets where the run must not be compared; a line
    without any value is left out.
    """
    if table.frame.empty:
        return NOT_RUN
    every = columns(table, comparable)
    wanted = table.text if text is None else text
    named = [*every[:1], *(column for name in wanted for column in named_column(name, every))] if wanted else every
    chosen = list(dict.fromkeys(named))
    lines = []
    for line in cells(table, chosen, rows):
        if all(cell.text == ABSENT for cell in line[1:]):
            continue
        shown = [f"**{cell.text}**" if cell.best or cell.kind else cell.text for cell in line]
        lines.append([f"({text})" if column.foreign and text != ABSENT else text
                      for column, text in zip(chosen, shown, strict=True)])  # fmt: skip
    left = next((place for place, column in enumerate(chosen) if column.numeric), len(chosen))
    return grid([column.label for column in chosen], lines, max(left, 1))


def grid(head: Iterable[str], lines: Iterable[Iterable[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns are aligned left, the others right."""
    heads = list(head)
    rule = [":--"] * left + ["--:"] * (len(heads) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in (heads, rule, *map(list, lines)))


def write_twin(table: Table, body: str, path: Path) -> None:
    """A page of Markdown about one table: its heading, `body`, and where its full precision is."""
    parts = [f"# {table.heading}", body, f"Full precision: [{table.name}.csv]({table.name}.csv)."]
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")
