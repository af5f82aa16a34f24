"""Toy models and images whose explanations are known beforehand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ala.contracts.preprocessing import Preprocessing


class ToyImages:
    """Seeded random images."""

    def __init__(self, n: int, image_size: int, seed: int = 0) -> None:
        self.image_ids = np.arange(1, n + 1)
        random = np.random.default_rng(seed)
        self.images = torch.as_tensor(random.integers(0, 256, (n, 3, image_size, image_size), dtype=np.uint8))

    def pixels(self, indices: np.ndarray) -> Tensor:
        return self.images[torch.as_tensor(indices)]


class Constant:
    """A model that predicts (0.3, 0.7) for every image."""

    def __init__(self, image_size: int) -> None:
        self.preprocessing = Preprocessing.named(image_size, "half")

    def __call__(self, images: Tensor) -> Tensor:
        return torch.tensor([[0.3, 0.7]]).expand(len(images), 2)


class Planted:
    """Probability of class 0 is linear in how much of the image's own patch shows through (a linear toy model)."""

    def __init__(self, planted: Tensor, patch: tuple[slice, slice]) -> None:
        self.preprocessing = Preprocessing.named(planted.shape[-1], "half")
        image = self.preprocessing.normalise(planted[None])[0]  # (3, S, S)
        self.weight = torch.zeros_like(image)
        self.weight[:, *patch] = image[:, *patch]
        self.weight /= (self.weight**2).sum()

    def __call__(self, images: Tensor) -> Tensor:
        share = (images * self.weight).sum(dim=(1, 2, 3))  # in [0, 1], 1 for the whole image
        return torch.stack([share, 1 - share], 1)


class SmallNet(nn.Module):
    """Random weights; its logits are reachable."""

    def __init__(self, image_size: int, classes: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.preprocessing = Preprocessing.named(image_size, "clip")
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))
        self.net(torch.zeros(1, 3, image_size, image_size))
        self.requires_grad_(False).eval()

    def logits(self, images: Tensor) -> Tensor:
        return self.net(images)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images).softmax(1)


@pytest.fixture
def toy_images() -> Callable[..., ToyImages]:
    return ToyImages


@pytest.fixture
def constant() -> Callable[..., Constant]:
    return Constant


@pytest.fixture
def planted() -> Callable[..., Planted]:
    return Planted


@pytest.fixture
def small_net() -> Callable[..., SmallNet]:
    return SmallNet


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Toy sizes: threads would only wait for each other."""
    torch.set_num_threads(1)
