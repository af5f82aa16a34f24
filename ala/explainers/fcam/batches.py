"""Draw the order and the augmentation of training images; the SGD of both stages of F-CAM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ala.config.schema import FcamStage
from ala.data.image_cache import ImageCache
from ala.utils.seeds import numpy_generator


class Crops:
    """The training images, cropped and mirrored at random.

    Each image is mirrored with probability 1/2 and, where the stored size is larger than `size`, cropped at a uniformly
    drawn place (METHODS 1.5, column `[F]`).

    Args:
        size: pixels of what the network sees.
        stage: `classifier` or `decoder`; each has its own draws.

    Attributes:
        flipped: bool `(n,)`, which images this epoch mirrors left to right.
        corners: int64 `(n, 2)`, top and left of this epoch's crops in pixels of the stored images.
    """

    def __init__(self, cache: ImageCache, size: int, seed: int, stage: str) -> None:
        self.image_cache, self.size, self.seed, self.stage = cache, size, seed, stage
        self.flipped = np.zeros(len(cache), bool)
        self.corners = np.zeros((len(cache), 2), np.int64)

    def order(self, epoch: int) -> np.ndarray:
        """Draw an epoch's order of the images, int64 `(n,)`, and how it mirrors and crops them."""
        count = len(self.image_cache)
        generator = numpy_generator(self.seed, "fcam", self.stage, "batches", epoch)
        order = generator.permutation(count)
        self.flipped[order] = generator.random(count) < 0.5
        self.corners[order] = generator.integers(0, self.image_cache.size - self.size + 1, size=(count, 2))
        return order

    def pixels(self, indices: np.ndarray) -> Tensor:
        """Crop and mirror some images: uint8 `(B, 3, size, size)`."""
        pixels = self.image_cache.pixels(indices)  # (B, 3, stored, stored)
        if self.image_cache.size != self.size:
            pixels = torch.stack(
                [
                    image[:, top : top + self.size, left : left + self.size]
                    for image, (top, left) in zip(pixels, self.corners[indices].tolist(), strict=True)
                ]
            )
        flipped = torch.from_numpy(self.flipped[indices])
        return torch.where(flipped[:, None, None, None], pixels.flip(3), pixels)


def sgd(
    settings: FcamStage, slow: Sequence[nn.Parameter], fast: Iterable[nn.Parameter] = (), factor: float = 1.0
) -> torch.optim.SGD:
    """SGD with Nesterov momentum; the parameters `fast` learn `factor` times faster than `slow`."""
    groups: list[dict[str, Any]] = [{"params": list(slow)}]
    if fast := list(fast):
        groups.append({"params": fast, "lr": settings.lr * factor})
    return torch.optim.SGD(
        groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0,
        weight_decay=settings.weight_decay,
    )  # fmt: skip


def rate_factor(settings: FcamStage) -> Callable[[int, int, int], float]:
    """The learning rate's factor by epoch (from 0): a tenth after each `step_epochs`, or constant."""
    return lambda epoch, *_: 0.1 ** (epoch // settings.step_epochs) if settings.step_epochs else 1.0
