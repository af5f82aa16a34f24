"""Other people's implementations: installed by `make oracles`, skipped with a reason where they are not."""

from __future__ import annotations

import os
from types import ModuleType

import pytest
import torch

import ala.utils.torchvision_import  # noqa: F401  torchmetrics and torchcam import torchvision


def oracle(name: str) -> ModuleType:
    """The module, or a skipped test; with REQUIRE_ORACLES=1, as in CI, a missing one is an error."""
    if os.environ.get("REQUIRE_ORACLES") == "1":
        return __import__(name, fromlist=["_"])
    return pytest.importorskip(name, reason=f"{name} is not installed; run `make oracles`", exc_type=ImportError)


class SmallNet(torch.nn.Module):
    """Random weights on normalised images `(B, 3, S, S)`; logits, or probabilities with `softmax`."""

    def __init__(self, image_size: int, softmax: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(4)
        )
        self.body(torch.zeros(1, 3, image_size, image_size))
        self.softmax = softmax
        self.requires_grad_(False).eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = 4 * self.body(images)
        return logits.softmax(1) if self.softmax else logits
