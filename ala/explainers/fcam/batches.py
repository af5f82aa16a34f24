"""Plan the order and the augmentation of training images from the seed, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ala.data.store import Store
from ala.utils.seeds import numpy_generator


@dataclass(frozen=True)
class Batch:
    """One SGD step.

    Attributes:
        epoch: from 0.
        number: within the epoch, from 0.
        ends_epoch: whether it is the epoch's last.
        rows: int64 `(B,)`, rows of the training store.
        flipped: bool `(B,)`, mirrored left to right.
        offsets: int64 `(B, 2)`, the crop's top and left in pixels of the stored image.
    """

    epoch: int
    number: int
    ends_epoch: bool
    rows: np.ndarray
    flipped: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Plan:
    """All batches of a training, or of its epochs from `first` on: each epoch visits every image once, in a new order.

    Each image is mirrored with probability 1/2 and, where the stored side is larger than `crop`, cropped at a
    uniformly drawn place (METHODS 1.5, column `[F]`).
    """

    photos: int
    stored: int  # side of the stored images
    crop: int  # side of what the network sees
    epochs: int
    batch: int
    seed: int
    stage: str
    first: int = 0  # epoch to begin with; those before it are done

    def __len__(self) -> int:
        return (self.epochs - self.first) * -(-self.photos // self.batch)

    def __iter__(self) -> Iterator[Batch]:
        for epoch in range(self.first, self.epochs):
            generator = numpy_generator(self.seed, "fcam", self.stage, "batches", epoch)
            order = generator.permutation(self.photos)
            flipped = generator.random(self.photos) < 0.5
            offsets = generator.integers(0, self.stored - self.crop + 1, size=(self.photos, 2))
            starts = range(0, self.photos, self.batch)
            for number, start in enumerate(starts):
                part = slice(start, start + self.batch)
                yield Batch(epoch, number, number == len(starts) - 1, order[part], flipped[part], offsets[part])


def crops(store: Store, batch: Batch, size: int) -> Tensor:
    """Crop and mirror the images of a batch: uint8 `(B, 3, size, size)`."""
    pixels = store.pixels(batch.rows)  # (B, 3, stored, stored)
    if store.size != size:
        pixels = torch.stack(
            [
                photo[:, top : top + size, left : left + size]
                for photo, (top, left) in zip(pixels, batch.offsets.tolist(), strict=True)
            ]
        )
    return mirrored(pixels, torch.from_numpy(batch.flipped))


def mirrored(images: Tensor, flipped: Tensor) -> Tensor:
    """Mirror the images of `(B, C, H, W)` that bool `flipped` `(B,)` selects."""
    return torch.where(flipped[:, None, None, None], images.flip(3), images)
