"""What is done: a job, on a model, with so many photos and steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ala.contracts.preprocessing import Preprocessing

SIDE = 224
GRID = 7  # RISE's cells per side
CLASSES = 1000
JOBS = ("rise", "insertion", "deletion")
MODELS = ("vit_tiny_patch16_224", "vit_base_patch16_224")


class Photos:
    """Random photos in memory."""

    def __init__(self, count: int) -> None:
        self.image_ids = np.arange(count)
        self._pixels = torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.manual_seed(0))

    def pixels(self, rows: Any) -> Tensor:
        return self._pixels[rows]


@dataclass(frozen=True)
class Job:
    """`kind` (one of :data:`JOBS`) on `images` photos with `steps` masks (RISE) or steps of the curve each."""

    kind: str
    images: int
    steps: int
    batch: int
    device: torch.device

    @property
    def frames(self) -> int:
        """Forward passes per photo of the engine: N masks, T steps of insertion, T - 1 of deletion."""
        return self.steps - (self.kind == "deletion")

    @property
    def step(self) -> int:
        """Pixels per step; `steps` divides those of a photo."""
        return SIDE * SIDE // self.steps

    @cached_property
    def photos(self) -> Photos:
        return Photos(self.images)

    @cached_property
    def targets(self) -> np.ndarray:
        """int64 `(n,)`, the classes that are explained."""
        return np.random.default_rng(0).integers(0, CLASSES, self.images)

    @cached_property
    def maps(self) -> np.ndarray:
        """float32 `(n, S, S)` without equal values: how those are ordered is each library's own business."""
        random = np.random.default_rng(1)
        maps = [random.permutation(SIDE * SIDE).reshape(SIDE, SIDE) for _ in range(self.images)]
        return np.stack(maps).astype(np.float32)

    @cached_property
    def full(self) -> np.ndarray:
        """float32 `(n, K)`, stands for the model's answers to whole photos; only the argmax decides anything."""
        return np.eye(CLASSES, dtype=np.float32)[self.targets]


class Model(nn.Module):
    """A timm network of 1,000 classes with random weights, as a Classifier: speed does not hang on the weights."""

    preprocessing = Preprocessing.named(SIDE, "imagenet")

    def __init__(self, name: str, device: torch.device) -> None:
        super().__init__()
        import ala.utils.torchvision_import  # noqa: F401 - before timm

        import timm  # isort: skip

        torch.manual_seed(0)
        self.network = timm.create_model(name, pretrained=False).eval().requires_grad_(False).to(device)

    def logits(self, images: Tensor) -> Tensor:
        answers: Tensor = self.network(images)
        return answers

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images).softmax(1)  # (B, K)
