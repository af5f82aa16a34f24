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
    """`prepare(photo)`, remembered for as many of the last photos as threads may work on at a time.

    Threads may ask at the same time. The first to ask for a photo prepares it; others wait for that photo only.

    Args:
        prepare: what is wanted of a photo, by its position.
        frames: the least number of frames of a photo.
        side: of the frames.
        device: where the model lives.
    """

    def __init__(self, prepare: Callable[[int], T], frames: int, side: int, device: torch.device) -> None:
        self._prepare = prepare
        self._keep = in_flight(side, device) // max(1, frames) + 2  # a photo may begin and one end in between
        self._lock = Lock()
        self._last: dict[int, Future[T]] = {}  # by the position of the photo, oldest first

    def __call__(self, photo: int) -> T:
        with self._lock:
            found = self._last.get(photo)
            if first := found is None:
                found = self._last[photo] = Future()
                if len(self._last) > self._keep:
                    del self._last[next(iter(self._last))]
        if first:
            try:
                found.set_result(self._prepare(photo))
            except BaseException as error:
                self._last.pop(photo, None)  # a device's memory may suffice the next time
                found.set_exception(error)
        return found.result()
