"""Split a batch when the device runs out of memory in inference; stop with one sentence in training.

The features, predictions and maps of an image do not depend on the rest of its batch, so inference may process a batch
in parts. In training they do depend on it: BatchNorm uses the batch's mean and variance, and has already updated its
buffers when memory runs out in the backward pass. So a training step is never retried.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from ala.utils.errors import UserError
from ala.utils.ledger import note_halved

T = TypeVar("T")


class Halving:
    """Run inference on parts of a batch that fit the device: first the whole batch, halved whenever memory runs out.

    Attributes:
        limit: images per part after memory has run out; later batches begin with it.
    """

    def __init__(self) -> None:
        self.limit: int | None = None

    def __call__(self, start: int, stop: int, work: Callable[[int, int], T]) -> list[T]:
        """Return the results of `work(first, last)` for consecutive parts `first..last` of the images `start..stop`.

        Args:
            start, stop: positions of the batch's images; `stop` is beyond the last.
            work: has no side effects when it is called again: no random draws, no gradients.

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
    """Run a training step, forward and backward, on `batch` images; report a lack of memory in one sentence.

    Args:
        batch: B, as `setting` has it.
        setting: the name of the setting to lower.

    Raises:
        UserError: the device ran out of memory. The network may have changed and must not be saved; the last saved
            epoch's state is unchanged.
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
