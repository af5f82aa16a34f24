"""Show progress bars with an estimate of the time left; short jobs show none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

from ala.utils import ledger

T = TypeVar("T")
Advance = Callable[[int], object]  # by this number of units


def track(items: Iterable[T], what: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Iterate over `items` with a bar on stderr (done, rate, time left); it appears after one second.

    Where stderr is no terminal the bar is refreshed every ten seconds only, so that logs stay short. The seconds are
    recorded as work of the kind `what` (:mod:`ala.utils.ledger`).
    """
    with ledger.work(what) as done:
        for item in tqdm(items, desc=what, total=total, unit=unit, **_look()):
            yield item
            done(1)


@contextmanager
def progress(total: int, what: str, unit: str, done: int = 0) -> Iterator[Advance]:
    """Show a bar like that of :func:`track` for work that reports its finished units itself; `done` of them exist."""
    with ledger.work(what) as finished, tqdm(desc=what, total=total, initial=done, unit=unit, **_look()) as bar:

        def advance(units: int) -> None:
            finished(units)
            bar.update(units)

        yield advance


def _look() -> dict[str, Any]:
    return {
        "delay": 1.0, "leave": False, "dynamic_ncols": True,
        "mininterval": 0.2 if sys.stderr.isatty() else 10.0,
    }  # fmt: skip
