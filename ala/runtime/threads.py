"""A batch shared out to threads that each run the whole model on their part.

Torch splits every single operation over all threads. The layers of a small model are too short for that: threads wait
for each other at the end of each, and everything between the layers runs on one. Parts of a batch have nothing to wait
for, and each part's activations stay in its core's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier

import torch
from torch import Tensor

SMALLEST = 16  # images; smaller parts are not worth a thread


def in_parts(score: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """`score(images)`, on a CPU made by several threads from parts of the batch; equal but for rounding (1e-6).

    All threads together use as many cores as torch would. On other devices, for few images, or with a graph, `score` is
    simply called.

    Args:
        score: images `(B, ...)` to `(B, K)`; the answer to an image does not depend on the others, and calls may run
            at the same time.
        images: the batch.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(images) // SMALLEST)
    if images.device.type != "cpu" or workers < 2 or torch.is_grad_enabled():
        return score(images)
    inference = torch.is_inference_mode_enabled()

    def part(some: Tensor) -> Tensor:
        with torch.inference_mode(inference), torch.no_grad():  # both are settings of a thread
            return score(some)

    return torch.cat(list(_team(workers, threads // workers).map(part, images.tensor_split(workers))))


@cache
def _team(workers: int, each: int) -> ThreadPoolExecutor:
    """`workers` threads whose operations run on `each` threads; the caller's own number stays."""
    before = torch.get_num_threads()
    together = Barrier(workers)

    def begin() -> None:
        torch.set_num_threads(each)
        torch.get_num_threads()  # a thread takes over the number that stands at its first question: now

    pool = ThreadPoolExecutor(workers, "part", initializer=begin)
    for _ in pool.map(lambda _: together.wait(), range(workers)):  # so that all have begun
        pass
    torch.set_num_threads(before)  # the number is also the default of threads that begin later
    return pool
