"""What the engine is given: photos, and changed versions of them that are made on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from torch import Tensor

Score = Callable[[Tensor], Tensor]  # normalised images (B, 3, S, S) -> scores (B, K)


class Photos(Protocol):
    """Where photos come from; `ala.data.store.Store` is one."""

    @property
    def image_ids(self) -> np.ndarray:
        """Int64 `(n,)`."""

    def pixels(self, rows: np.ndarray) -> Tensor:
        """Photos `rows` as uint8 `(len(rows), 3, S, S)`."""


class Filler(Protocol):
    """Changed versions of photos, made on demand: photos about one after another, by several threads at a time."""

    side: int  # S

    def fill(self, photo: int, start: int, stop: int, out: Tensor) -> None:
        """Write frames `start..stop` of the photo at position `photo` into `out` `(stop - start, 3, S, S)`."""


class Frames(Filler, Protocol):
    """As many frames of every photo."""

    count: int  # frames per photo
