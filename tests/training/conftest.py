from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ala.config import Profile, load
from ala.contracts.preprocessing import Preprocessing
from ala.encoders import Encoder
from ala.encoders.networks import make_encoder

torch.set_num_threads(1)


class TinyEncoder(nn.Module):
    """Four features of 8 channels on a 4x4 grid from 16-pixel images; frozen. It counts the images that it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.preprocessing = Preprocessing.named(16, "half")
        self.grid = 4
        self.feature_channels = dict.fromkeys(range(4), 8)
        self.convs = nn.ModuleList(nn.Conv2d(3, 8, 4, 4) for _ in range(4))
        self.requires_grad_(False)
        self.encoded = 0

    @torch.no_grad()
    def features(self, images: Tensor, wanted: Collection[int]) -> dict[int, Tensor]:
        self.encoded += len(images)
        return {feature: self.convs[feature](images).tanh() for feature in wanted}


class Images:
    """Noise with a bright patch at a random place; its colour is the class."""

    def __init__(self, n: int, size: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.size = size
        self.image_ids = 100 + np.arange(n)
        self.labels = np.arange(n) % 3
        self.images = rng.integers(0, 120, (n, 3, size, size), dtype=np.uint8)
        for image, label in zip(self.images, self.labels, strict=True):
            y, x = rng.integers(0, size // 4, 2) * 4
            image[:, y : y + 4, x : x + 4] = 0
            image[label, y : y + 4, x : x + 4] = 250

    def pixels(self, indices: np.ndarray) -> Tensor:
        return torch.from_numpy(self.images[np.asarray(indices)])


@pytest.fixture
def encoder() -> TinyEncoder:
    torch.manual_seed(5)
    return TinyEncoder()


@pytest.fixture
def train() -> Images:
    return Images(48, 16, 0)


@pytest.fixture
def val() -> Images:
    return Images(18, 16, 1)


@pytest.fixture
def profile() -> Profile:
    """The miniature's settings, smaller."""
    mini = load("params.yaml").profiles["mini"]
    perception: dict[str, Any] = {"feature_layer": 3, "channels": [16], "hidden": [16], "inputs": "clip"}
    perception |= {"combine": "alpha", "norm": "batch", "dropout": 0.25}
    raw = mini.model_dump()
    raw["ala"]["sbn"] = {
        "width": 16, "heads": 2, "depth": 2, "queries": 4, "mlp_ratio": 2.0, "patch": 4, "decoder_width": 16,
        "fusion_map": [[0, 0], [1, 1], [3, 2]],
    }  # fmt: skip
    raw["ala"] |= {"perception": perception, "single_layer": 2, "lora": None}
    raw["ala"]["attention"] = {"kind": "minmax", "map_dropout": 0.1, "hidden": 8}
    raw["ala"]["schedule"] = {"off_epochs": 1, "on_epochs": 1, "first": "off"}
    raw["abn"] |= {"layer": 2, "perception": perception | {"combine": "one_plus_alpha"}}
    raw["train"] = {
        "epochs": 4, "batch": 16, "lr": 3e-3, "weight_decay": 0.05, "clip_norm": 1.0, "poly_power": 0.9,
        "patience": None, "criterion": "val_loss", "precision": "fp32",
        "augment": {"resize": None, "hflip": 0.5, "blur": 0.0, "sharpen": 0.0},
    }  # fmt: skip
    raw["data"]["input_size"] = 16
    raw["metrics"]["step"] = 16
    return Profile.model_validate(raw)


@pytest.fixture
def clip_vit() -> Encoder:
    """open_clip's own tower with random weights: 3 blocks of width 32, 16-pixel images, a 4x4 grid."""
    torch.manual_seed(6)
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 16, "patch_size": 4, "width": 32, "layers": 3, "head_width": 16},
        "quick_gelu": True,
    }
    return make_encoder({"name": "open_clip:small", "config": config}, Preprocessing.named(16, "half"), 0)
