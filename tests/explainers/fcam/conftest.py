"""Images that F-CAM must solve: one coloured square per image on soft coloured noise, the colour is the class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from ala.config.schema import Fcam as Settings
from ala.data.image_cache import ImageCache

COLOURS = np.array([[220, 40, 40], [40, 200, 60], [50, 60, 230], [230, 210, 40]])


def draw(count: int, size: int, seed: int, split: str = "train") -> ImageCache:
    """`count` images of 4 classes; the square covers a quarter of the image or less."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    noise = ndimage.gaussian_filter(generator.standard_normal((count, size, size, 3)), (0, 2, 2, 0))
    images = (110 + 140 * noise).clip(0, 255).astype(np.uint8)
    masks = np.zeros((count, size, size), dtype=np.uint8)
    boxes = np.zeros((count, 4), dtype=np.float32)
    for row, label in enumerate(labels):
        side = int(generator.integers(size // 3, size // 2))
        top, left = generator.integers(0, size - side, size=2)
        paint = COLOURS[label] + generator.integers(-15, 15, size=(side, side, 3))
        images[row, top : top + side, left : left + side] = paint.clip(0, 255)
        masks[row, top : top + side, left : left + side] = 255
        boxes[row] = left, top, side, side
    ids = np.arange(count, dtype=np.int64) + 1
    return ImageCache(
        size, split, ["red", "green", "blue", "yellow"], ids, labels.astype(np.int64), images, masks, boxes
    )


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def toy() -> Callable[..., ImageCache]:
    return draw


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """The `fcam` block for the toy, with changes by name; `a__b` reaches into block a."""

    def make(**changes: Any) -> Settings:
        sgd = {"step_epochs": None, "momentum": 0.9, "weight_decay": 1e-4, "batch": 8}
        raw: dict[str, Any] = {
            "backbone": "test_resnet",
            "pretrained": False,
            "options": [],
            "freeze_norms": False,
            "output_stride": 8,
            "norm": "half",
            "resize": None,
            "input_size": 48,
            "decoder_channels": [32, 24, 16, 16, 8],
            "select": "val_accuracy",
            "classifier": {"epochs": 2, "lr": 0.05, "head_lr_factor": 1, **sgd},
            "decoder": {"epochs": 2, "lr": 0.02, **sgd},
            "seeds": {"foreground": 1, "background": 1, "background_share": 0.1, "dilate": 3, "erode": 3},
            "size_weight": 0.1,
            "barrier_t": 1.0,
            "barrier_growth": 1.01,
            "barrier_max": 10.0,
            # 2e-9 of a 224 px image in energy per pair, for 48 px; sigma_xy scaled alike.
            "crf": {"weight": 9.5e-7, "sigma_rgb": 15, "sigma_xy": 21, "scale": 0.5, "chunk": 4},
        }
        for name, value in changes.items():
            block, _, inner = name.partition("__")
            if inner:
                raw[block][inner] = value
            else:
                raw[block] = value
        return Settings.model_validate(raw)

    return make
