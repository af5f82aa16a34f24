"""Process many images in parallel threads: Pillow and NumPy release the GIL while they decode, resize and copy."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ala.utils.progress import track

T = TypeVar("T")
R = TypeVar("R")


def workers() -> int:
    """How many threads to use: the cores that this process may run on, at most 16."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, cores)


def each(
    function: Callable[[T], R],
    items: Sequence[T],
    what: str,
    unit: str = "image",
) -> list[R]:
    """`[function(item) for item in items]` in threads, in order, with progress; the first exception ends it all."""
    results: list[R] = []
    with ThreadPoolExecutor(workers()) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for future in track(futures, what, total=len(futures), unit=unit):
                results.append(future.result())
            return results
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what has not begun never will; the rest ends
            raise
