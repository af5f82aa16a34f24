"""Toy models and images whose curves are known beforehand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ala.contracts.preprocessing import Preprocessing


class ToyImages:
    """Given or seeded random images, uint8 `(n, 3, S, S)`."""

    def __init__(self, images: Tensor | tuple[int, int]) -> None:
        if isinstance(images, tuple):
            n, image_size = images
            images = torch.as_tensor(
                np.random.default_rng(0).integers(0, 256, (n, 3, image_size, image_size), dtype=np.uint8)
            )
        self.images = images
        self.image_ids = np.arange(101, 101 + len(images))

    def pixels(self, indices: np.ndarray) -> Tensor:
        return self.images[torch.as_tensor(indices)]


class Linear:
    """Probability of class 1 is the mean of the first channel of an image in [-1, 1], moved to [0, 1]."""

    def __init__(self, image_size: int) -> None:
        self.preprocessing = Preprocessing.named(image_size, "half")

    def __call__(self, images: Tensor) -> Tensor:
        share = (images[:, 0].mean(dim=(1, 2)) + 1) / 2
        return torch.stack([1 - share, share], 1)


class SmallNet(nn.Module):
    """Random weights, sharp predictions."""

    def __init__(self, image_size: int, classes: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.preprocessing = Preprocessing.named(image_size, "clip")
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))
        self.net(torch.zeros(1, 3, image_size, image_size))
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        return (4 * self.net(images)).softmax(1)


@pytest.fixture
def toy_images() -> Callable[..., ToyImages]:
    return ToyImages


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
