"""When a device runs out of memory: inference goes on with half the batch, training stops with one sentence.

The features, predictions and maps of an image do not depend on the rest of its batch, so a batch may pass through the
device in parts. In training they do: BatchNorm takes mean and variance of what it is shown, and has moved its buffers
when memory runs out in the backward pass. So a step is never tried again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from ala.runtime.errors import UserError
from ala.runtime.ledger import note_halved

T = TypeVar("T")


class Halving:
    """Inference in parts of a batch that fit the device; the first part is the whole batch, until that is too much.

    Attributes:
        limit: images per part, once memory has run out; later batches begin with it.
    """

    def __init__(self) -> None:
        self.limit: int | None = None

    def __call__(self, start: int, stop: int, work: Callable[[int, int], T]) -> list[T]:
        """What `work(first, last)` gives for the images `start..stop`, part `first..last` after part.

        Args:
            start, stop: positions of the batch's images; `stop` is beyond the last.
            work: repeats nothing but its own part when it is called again: no random draws, no gradients.

        Raises:
            UserError: there is no memory for a single image.
        """
        found: list[T] = []
        while start < stop:
            last = min(stop, start + (self.limit or stop))
            try:
                found.append(work(start, last))
                start = last
                continue
            except torch.OutOfMemoryError as error:
                reason = _first_sentence(error)
            # Outside `except`: there the traceback would hold the tensors of the failed part.
            tried = last - start
            if tried == 1:
                raise UserError(
                    f"the device has no memory for one image ({reason}); free it or use --device cpu"
                ) from None
            self.limit = tried // 2
            note_halved(self.limit)
            print(f"out of memory with {tried} images at a time, going on with {self.limit}", file=sys.stderr)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return found


@contextmanager
def training_step(batch: int, setting: str) -> Iterator[None]:
    """A step of a training, forward and backward, on `batch` images; what memory ran out of is said in one sentence.

    Args:
        batch: B, as `setting` has it.
        setting: the name of the setting to lower.

    Raises:
        UserError: the device ran out of memory. The network may have moved and must not be kept; the state of the last
            epoch that was kept stays as it is.
    """
    try:
        yield
        return
    except torch.OutOfMemoryError as error:
        reason = _first_sentence(error)
    less = f"lower {setting} to {batch // 2}" if batch >= 4 else "use a device with more memory"  # BatchNorm needs two
    raise UserError(f"the device's memory does not hold a training step of batch {batch} ({reason}); {less}")


def _first_sentence(error: Exception) -> str:
    return str(error).partition(". ")[0].rstrip(".")
