"""How methods are called and coloured on the page."""

from __future__ import annotations

from ala.config.schema import Settings
from ala.report import rows


def row_of(method: str, settings: Settings) -> str:
    """The first row of the tables that shows `method`, a method or a row; `method` itself where none does."""
    if method in rows.LABELS:
        return method
    shown = [row for row in (*rows.MAIN, *settings.ablations) if rows.scored_as(row, settings) == method]
    return next(iter(shown), method)


def label(method: str, settings: Settings) -> str:
    """The label of `method` in tables, e.g. `ALA`, `(ii)`; `method` itself where it has none."""
    row = row_of(method, settings)
    return rows.LABELS.get(row, row)
