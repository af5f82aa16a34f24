"""Progress with an estimate of the time left, quiet when a job is short."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def track(items: Iterable[T], what: str, total: int | None = None, unit: str = "it") -> Iterable[T]:
    """Iterate over `items` with a bar on stderr (done, rate, time left); it appears after one second.

    Where stderr is no terminal the bar is refreshed every ten seconds only, so that logs stay short.
    """
    interactive = sys.stderr.isatty()
    return tqdm(
        items, desc=what, total=total, unit=unit, delay=1.0, leave=False, dynamic_ncols=True,
        mininterval=0.2 if interactive else 10.0,
    )  # fmt: skip
