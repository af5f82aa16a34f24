"""A small random classifier and a few images for the checks; nothing of it takes longer than milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ala.contracts.preprocessing import Preprocessing
from ala.data.image_cache import ImageCache
from ala.utils.seeds import derive, torch_generator

SIZE, CLASSES, GRID = 32, 3, 8
IDS = np.array([12, 3, 7, 5])


class RandomClassifier(nn.Module):
    """Normalised images `(B, 3, S, S)` to probabilities `(B, K)`: two convolutions of random weights, mean, linear.

    As a trained model has, it has `logits` and a class-agnostic map of its own, `explain`.
    """

    preprocessing = Preprocessing.named(SIZE, "half")

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "random classifier"))
            self.features = nn.Sequential(
                nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()
            )
            self.head = nn.Linear(16, CLASSES)
            nn.init.normal_(self.head.weight, std=8)  # so that probabilities differ between images
        self.eval()

    def logits(self, images: Tensor) -> Tensor:
        """Logits `(B, K)`."""
        return self.head(self.features(images).mean(dim=(2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images).softmax(dim=1)

    def explain(self, images: Tensor) -> Tensor:
        """Map `(B, 8, 8)` in [0, 1]."""
        return self.features(images).mean(dim=1).sigmoid()


class RandomTransformer(nn.Module):
    """The same with a Vision Transformer of two blocks as `encoder`, for explainers that look into a model."""

    preprocessing = RandomClassifier.preprocessing

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        import ala.utils.torchvision_import  # noqa: F401  (before timm)

        # isort: split
        from timm.models.vision_transformer import VisionTransformer

        from ala.encoders.encoder import Encoder

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "random transformer"))
            network = VisionTransformer(
                img_size=SIZE, patch_size=SIZE // GRID, embed_dim=16, depth=2, num_heads=2, num_classes=0,
                global_pool="avg",
            )  # fmt: skip
            for parameter in network.parameters():
                if parameter.ndim > 1:
                    nn.init.normal_(parameter, std=0.4)  # so that attention is far from uniform
            self.head = nn.Linear(16, CLASSES)
            nn.init.normal_(self.head.weight, std=2)
        self.encoder = Encoder(network, nn.Identity(), {"name": "toy"}, self.preprocessing, GRID)
        self.requires_grad_(False)
        self.eval()

    def logits(self, images: Tensor) -> Tensor:
        """Logits `(B, K)` of the mean patch token."""
        last = self.encoder.last_feature
        return self.head(self.encoder.features(images, [last])[last].mean(dim=(2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images).softmax(dim=1)

    def explain(self, images: Tensor) -> Tensor:
        """Map `(B, 8, 8)` in [0, 1]."""
        return self.encoder.features(images, [1])[1].mean(dim=1).sigmoid()


def pixels(count: int = len(IDS), size: int = SIZE, seed: int = 0) -> Tensor:
    """Images uint8 `(count, 3, size, size)`: random patches, since constant or purely noisy images hide mistakes."""
    generator = torch_generator(seed, "testing", "images")
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    fine = torch.rand(count, 3, size, size, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return (255 * (0.8 * smooth + 0.2 * fine)).to(torch.uint8)


def boxes(count: int = len(IDS), size: int = SIZE) -> np.ndarray:
    """Boxes of objects float32 `(count, 4)`, x, y, width, height in pixels; each image has another one."""
    at = np.arange(count) % 4
    return np.stack([at + 1, at + 2, size / 2 - at, size / 4 + at], axis=1).astype(np.float32)


def masks(count: int = len(IDS), size: int = SIZE) -> np.ndarray:
    """Objects uint8 `(count, size, size)`, 255 within a disc in the box, 0 outside."""
    grid = np.arange(size) + 0.5
    x, y, width, height = boxes(count, size).T[:, :, None, None]
    inside = ((grid - x - width / 2) / width) ** 2 + ((grid[:, None] - y - height / 2) / height) ** 2 <= 0.25
    return (255 * inside).astype(np.uint8)


def images(count: int = 6, size: int = SIZE) -> ImageCache:
    """A split of `count` images with objects, boxes and classes, in memory."""
    shown = pixels(count, size).permute(0, 2, 3, 1).contiguous().numpy()  # (n, S, S, 3)
    ids, labels = np.arange(count) * 3 + 1, np.arange(count) % CLASSES
    names = [f"class {label}" for label in range(CLASSES)]
    return ImageCache(size, "test", names, ids, labels, shown, masks(count, size), boxes(count, size))


def write_images(folder: Path, split: str, count: int = 6, size: int = SIZE) -> Path:
    """Write :func:`images` as the image cache `folder`, which :meth:`ala.data.image_cache.ImageCache.open` opens."""
    made = images(count, size)
    parts = {"images": made.images, "masks": made.masks, "ids": made.image_ids, "labels": made.labels,
             "boxes": made.boxes}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for part, values in parts.items():
        np.save(folder / f"{split}-{part}.npy", values)
    about = {"version": 1, "size": size, "names": made.names, "splits": {split: count}}
    (folder / "image_cache.json").write_text(json.dumps(about))
    return folder
