"""Batches in parts that fit the device: halved when its memory runs out, while the effective batch stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch

from ala.runtime.errors import UserError

T = TypeVar("T")


class Fitting:
    """How many photos pass through the device at once: the whole batch, until that is too much.

    Training adds up the parts' gradients, each weighted by its share of the batch, so the gradient is the batch's. Two
    things are the part's own: BatchNorm takes mean and variance of the part alone, and random draws come in another
    order. So a run that was halved is a valid one, but its numbers are not those of a larger device.

    Args:
        batch: photos at once, as long as they fit.
        least: what BatchNorm needs, 2 in training.
        log: told when the number is halved.
        remedy: what else helps than a device with more memory.
    """

    def __init__(
        self, batch: int, least: int = 2, log: Callable[[str], None] = print, remedy: str = "lower data.input_size"
    ) -> None:
        self.batch, self.size, self.least, self.log, self.remedy = batch, batch, least, log, remedy

    def parts(self, rows: np.ndarray) -> list[np.ndarray]:
        """`rows` in parts of nearly equal length, none shorter than `least` where there are so many rows."""
        # A single photo left over in an epoch has joined the last batch.
        whole = len(rows) <= self.size + (self.size == self.batch)
        wanted = 1 if whole else -(-len(rows) // self.size)
        return np.array_split(rows, max(1, min(wanted, len(rows) // self.least)))

    def run(self, rows: np.ndarray, work: Callable[[Sequence[np.ndarray]], T]) -> T:
        """`work(parts)`, from the start and with smaller parts as often as the device runs out of memory.

        `work` must begin with no gradients and put its random generators where they stood.

        Raises:
            UserError: not even `least` photos fit.
        """
        while True:
            parts = self.parts(rows)
            try:
                return work(parts)
            except torch.OutOfMemoryError as error:
                tried, reason = max(map(len, parts)), str(error).partition(". ")[0]
            # Outside `except`: there the traceback would hold the tensors of the failed part.
            if tried <= self.least or len(parts) == len(rows) // self.least:
                raise UserError(
                    f"the device has too little memory for {tried} photos at once ({reason}); use a device with more"
                    f" memory, or {self.remedy}"
                )
            self.size = max(self.least, tried // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            note = "; BatchNorm sees each part by itself" if self.least > 1 else ""
            self.log(
                f"the device ran out of memory with {tried} photos at once: from now on {self.size}, the effective"
                f" batch stays {len(rows)}{note}"
            )


class Draws:
    """Where the random generators stand, to draw the same once more: `generator`, torch's own, and the GPU's."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator, self.state, self.cpu = generator, generator.get_state(), torch.get_rng_state()
        self.gpu = torch.cuda.get_rng_state() if torch.cuda.is_available() else None

    def again(self) -> None:
        """Put them back."""
        self.generator.set_state(self.state)
        torch.set_rng_state(self.cpu)
        if self.gpu is not None:
            torch.cuda.set_rng_state(self.gpu)
