"""Toy models and photos whose curves are known beforehand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ala.contracts.preprocessing import Preprocessing


class ToyPhotos:
    """Given or seeded random photos, uint8 `(n, 3, S, S)`."""

    def __init__(self, images: Tensor | tuple[int, int]) -> None:
        if isinstance(images, tuple):
            n, side = images
            images = torch.as_tensor(np.random.default_rng(0).integers(0, 256, (n, 3, side, side), dtype=np.uint8))
        self.images = images
        self.image_ids = np.arange(101, 101 + len(images))

    def pixels(self, rows: np.ndarray) -> Tensor:
        return self.images[torch.as_tensor(rows)]


class Linear:
    """Probability of class 1 is the mean of the first channel of a photo in [-1, 1], moved to [0, 1]."""

    def __init__(self, side: int) -> None:
        self.preprocessing = Preprocessing.named(side, "half")

    def __call__(self, images: Tensor) -> Tensor:
        share = (images[:, 0].mean(dim=(1, 2)) + 1) / 2
        return torch.stack([1 - share, share], 1)


class SmallNet(nn.Module):
    """Random weights, sharp answers."""

    def __init__(self, side: int, classes: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.preprocessing = Preprocessing.named(side, "clip")
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))
        self.net(torch.zeros(1, 3, side, side))
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        return (4 * self.net(images)).softmax(1)


@pytest.fixture
def toy_photos() -> Callable[..., ToyPhotos]:
    return ToyPhotos


@pytest.fixture
def linear() -> Callable[..., Linear]:
    return Linear


@pytest.fixture
def small_net() -> Callable[..., SmallNet]:
    return SmallNet


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Toy sizes: threads would only wait for each other."""
    torch.set_num_threads(1)
