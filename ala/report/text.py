"""Values as text: the same in tables of Markdown and of the page, and in sentences."""

from __future__ import annotations

import math

import pandas as pd

NOT_RUN = "not run"
ABSENT = "–"


def absent(value: object) -> bool:
    """Whether a cell has no value."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)) or value == ""


def is_number(value: object) -> bool:
    """Whether a cell holds a finite number, or the text of one."""
    if absent(value) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def number_text(name: str, value: object) -> str:
    """A cell of a column of numbers: numbers of things and settings as they are, small p values with their size."""
    if not isinstance(value, float) or absent(value):
        return text_of(value)
    if name.startswith("n_") or name == "rho":
        return f"{value:g}" if value.is_integer() or name == "rho" else text_of(value, 1)
    return f"{value:.2g}" if name in ("p", "p_holm") and 0 < value < 0.0005 else text_of(value)


def text_of(value: object, digits: int = 3) -> str:
    """A value as it is shown: floats with `digits` after the point, a dash for none, anything else as it is."""
    if absent(value):
        return ABSENT
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def spread_text(mean: object, deviation: object) -> str:
    """`mean ± deviation`, without the latter where a single seed leaves none."""
    return text_of(mean) if absent(deviation) or not is_number(mean) else f"{text_of(mean)} ± {text_of(deviation)}"
