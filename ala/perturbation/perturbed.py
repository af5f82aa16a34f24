"""Interfaces of the engine's inputs: images, and perturbed images that are made on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from torch import Tensor

Score = Callable[[Tensor], Tensor]  # normalised images (B, 3, S, S) -> scores (B, K)


class Images(Protocol):
    """A source of images; `ala.data.image_cache.ImageCache`, the image cache, is one."""

    @property
    def image_ids(self) -> np.ndarray:
        """Int64 `(n,)`."""

    def pixels(self, indices: np.ndarray) -> Tensor:
        """The images at `indices` as uint8 `(len(indices), 3, S, S)`."""


class Filler(Protocol):
    """Makes perturbed images on demand, called by several threads at a time with images in roughly ascending order."""

    image_size: int  # S

    def fill(self, index: int, start: int, stop: int, out: Tensor) -> None:
        """Write perturbed images `start..stop` of the image at index `image` into `out` `(stop - start, 3, S, S)`."""


class PerturbedImages(Filler, Protocol):
    """A filler with the same number of perturbed images for every image."""

    count: int  # perturbed images per image
