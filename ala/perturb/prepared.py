"""What the frames of a photo are made from: made once, where it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

import torch

from ala.runtime.threads import in_flight

T = TypeVar("T")


class Prepared(Generic[T]):
    """What was prepared of as many of the last photos as threads may work on at a time.

    Threads may ask at the same time. The first to ask for a photo prepares it; others wait for that photo only.

    Args:
        frames: the least number of frames of a photo.
        side: of the frames.
        device: where the model lives.
    """

    def __init__(self, frames: int, side: int, device: torch.device) -> None:
        self._keep = in_flight(side, device) // max(1, frames) + 2  # a photo may begin and one end in between
        self._lock = Lock()
        self._last: dict[int, Future[T]] = {}  # by the position of the photo, oldest first

    def __call__(self, photo: int, prepare: Callable[[int], T]) -> T:
        """`prepare(photo)`, or what it gave before.

        `prepare` is not kept: as a method of whoever keeps this object it would close a circle, and all that hangs on
        it, such as RISE's masks, would stay in memory until Python looks for circles.
        """
        with self._lock:
            found = self._last.get(photo)
            if first := found is None:
                found = self._last[photo] = Future()
                if len(self._last) > self._keep:
                    del self._last[next(iter(self._last))]
        if first:
            try:
                found.set_result(prepare(photo))
            except BaseException as error:
                self._last.pop(photo, None)  # a device's memory may suffice the next time
                found.set_exception(error)
        return found.result()
