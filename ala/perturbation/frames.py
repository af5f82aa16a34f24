"""Interfaces of the engine's inputs: images, and perturbed images that are made on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from torch import Tensor

Score = Callable[[Tensor], Tensor]  # normalised images (B, 3, S, S) -> scores (B, K)


class Photos(Protocol):
    """A source of images; `ala.data.store.Store`, the image cache, is one."""

    @property
    def image_ids(self) -> np.ndarray:
        """Int64 `(n,)`."""

    def pixels(self, rows: np.ndarray) -> Tensor:
        """The images at indices `rows` as uint8 `(len(rows), 3, S, S)`."""


class Filler(Protocol):
    """Makes perturbed images on demand, called by several threads at a time with images in roughly ascending order."""

    side: int  # S

    def fill(self, photo: int, start: int, stop: int, out: Tensor) -> None:
        """Write perturbed images `start..stop` of the image at index `photo` into `out` `(stop - start, 3, S, S)`."""


class Frames(Filler, Protocol):
    """A filler with the same number of perturbed images for every image."""

    count: int  # perturbed images per image
