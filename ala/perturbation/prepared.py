"""Cache what the perturbed images of an image are made from, computed once, on first use."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

import torch

from ala.utils.threads import in_flight

T = TypeVar("T")


class Prepared(Generic[T]):
    """A cache of prepared data for the most recent images, as many as threads may work on at a time.

    Threads may call it at the same time. The first to request an image prepares it; others wait for that image only.

    Args:
        perturbed: the least number of perturbed images of an image.
        image_size: of the perturbed images, in pixels.
        device: where the model lives.
    """

    def __init__(self, perturbed: int, image_size: int, device: torch.device) -> None:
        # one image may begin and one end in between
        self._keep = in_flight(image_size, device) // max(1, perturbed) + 2
        self._lock = Lock()
        self._last: dict[int, Future[T]] = {}  # by the index of the image, oldest first

    def __call__(self, index: int, prepare: Callable[[int], T]) -> T:
        """Return `prepare(image)`, from the cache if it was computed before.

        `prepare` is not stored: a bound method of this object's owner would make a reference cycle, and everything
        reachable from it, such as RISE's masks, would stay in memory until Python's cycle collector runs.
        """
        with self._lock:
            found = self._last.get(index)
            if first := found is None:
                found = self._last[index] = Future()
                if len(self._last) > self._keep:
                    del self._last[next(iter(self._last))]
        if first:
            try:
                found.set_result(prepare(index))
            except BaseException as error:
                self._last.pop(index, None)  # a device's memory may suffice the next time
                found.set_exception(error)
        return found.result()
