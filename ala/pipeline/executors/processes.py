"""Shards in several processes of this machine; each opens models and images once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Processes:
    """`workers` processes, each with as many threads as the whole run has (their number decides about last bits).

    They are started once, at the first work, and end with this process: a start takes seconds.
    """

    def __init__(self, workers: int = 2) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def results(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """`function(task)` of every task, in order; `function` and tasks must be picklable.

        An error of a worker is raised here, after which no further task is begun.
        """
        import torch

        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # a forked process must not use torch's threads
            self._pool = ProcessPoolExecutor(
                self.workers, context, initializer=_begin, initargs=(torch.get_num_threads(),)
            )
        try:
            yield from self._pool.map(function, tasks)
        except BaseException:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
            raise


def _begin(threads: int) -> None:
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver stops the work
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
