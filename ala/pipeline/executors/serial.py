"""Shards one after another in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Serial:
    """The default. `workers` has no meaning here."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = 1

    def results(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """`function(task)` of every task, in order."""
        for task in tasks:
            yield function(task)
