"""What is done: a job, on a model, with so many images and steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ala.contracts.preprocessing import Preprocessing

IMAGE_SIZE = 224
GRID = 7  # RISE's cells per axis
CLASSES = 1000
JOBS = ("rise", "insertion", "deletion")
MODELS = ("vit_tiny_patch16_224", "vit_base_patch16_224")


class Images:
    """Random images in memory."""

    def __init__(self, count: int) -> None:
        self.image_ids = np.arange(count)
        self._pixels = torch.randint(
            0, 256, (count, 3, IMAGE_SIZE, IMAGE_SIZE), dtype=torch.uint8, generator=torch.manual_seed(0)
        )

    def pixels(self, indices: Any) -> Tensor:
        return self._pixels[indices]


@dataclass(frozen=True)
class Job:
    """`kind` (one of :data:`JOBS`) on `images` images with `steps` masks (RISE) or steps of the curve each."""

    kind: str
    images: int
    steps: int
    batch: int
    device: torch.device

    @property
    def perturbed(self) -> int:
        """Forward passes per image of the engine: N masks, T steps of insertion, T - 1 of deletion."""
        return self.steps - (self.kind == "deletion")

    @property
    def step(self) -> int:
        """Pixels per step; `steps` divides those of an image."""
        return IMAGE_SIZE * IMAGE_SIZE // self.steps

    @cached_property
    def image_source(self) -> Images:
        return Images(self.images)

    @cached_property
    def targets(self) -> np.ndarray:
        """int64 `(n,)`, the classes that are explained."""
        return np.random.default_rng(0).integers(0, CLASSES, self.images)

    @cached_property
    def maps(self) -> np.ndarray:
        """float32 `(n, S, S)` without equal values: how those are ordered is each library's own business."""
        random = np.random.default_rng(1)
        maps = [random.permutation(IMAGE_SIZE * IMAGE_SIZE).reshape(IMAGE_SIZE, IMAGE_SIZE) for _ in range(self.images)]
        return np.stack(maps).astype(np.float32)

    @cached_property
    def full(self) -> np.ndarray:
        """float32 `(n, K)`, is used as the model's predictions to whole images; only the argmax decides anything."""
        return np.eye(CLASSES, dtype=np.float32)[self.targets]


class Model(nn.Module):
    """A timm network of 1,000 classes with random weights, as a Classifier: speed does not depend on the weights."""

    preprocessing = Preprocessing.named(IMAGE_SIZE, "imagenet")

    def __init__(self, name: str, device: torch.device) -> None:
        super().__init__()
        import ala.utils.torchvision_import  # noqa: F401 - before timm

        import timm  # isort: skip

        torch.manual_seed(0)
        self.network = timm.create_model(name, pretrained=False).eval().requires_grad_(False).to(device)

    def logits(self, images: Tensor) -> Tensor:
        predictions: Tensor = self.network(images)
        return predictions

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images).softmax(1)  # (B, K)
