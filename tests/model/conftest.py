from __future__ import annotations

from collections.abc import Collection

import pytest
import torch
from torch import Tensor, nn

from ala.config.schema import Abn, Ala, AttentionSettings, PerceptionSettings, Schedule, SideBranchSettings
from ala.contracts.preprocessing import Preprocessing
from ala.encoders import Encoder
from ala.encoders.networks import make_encoder

torch.set_num_threads(1)


class TinyEncoder(nn.Module):
    """Four random features of 6 channels on a 4x4 grid from 16-pixel images; frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.preprocessing = Preprocessing.named(16, "half")
        self.grid = 4
        self.feature_channels = dict.fromkeys(range(4), 6)
        self.convs = nn.ModuleList(nn.Conv2d(3, 6, 4, 4) for _ in range(4))
        self.requires_grad_(False)

    @torch.no_grad()
    def features(self, images: Tensor, wanted: Collection[int]) -> dict[int, Tensor]:
        return {feature: self.convs[feature](images).tanh() for feature in wanted}


@pytest.fixture
def encoder() -> TinyEncoder:
    torch.manual_seed(5)
    return TinyEncoder()


@pytest.fixture
def side() -> SideBranchSettings:
    return SideBranchSettings(
        width=8,
        heads=2,
        depth=3,
        queries=5,
        mlp_ratio=2.0,
        patch=4,
        decoder_width=7,
        fusion_map=[(0, 0), (2, 1), (3, 3)],
    )


@pytest.fixture
def perception() -> PerceptionSettings:
    return PerceptionSettings(
        combine="alpha", inputs="clip", feature_layer=3, norm="batch", channels=[8, 8], hidden=[9, 10], dropout=0.25
    )


@pytest.fixture
def ala(side: SideBranchSettings, perception: PerceptionSettings) -> Ala:
    return Ala(
        sbn=side,
        attention=AttentionSettings(kind="minmax", map_dropout=0.0, hidden=6),
        perception=perception,
        single_layer=2,
        predict="pb",
        lambda_ab=1 / 15,
        schedule=Schedule(off_epochs=1, on_epochs=1, first="off"),
        lora=None,
    )


@pytest.fixture
def abn(perception: PerceptionSettings) -> Abn:
    return Abn(
        layer=1,
        attention=AttentionSettings(kind="sigmoid", map_dropout=0.0, hidden=6),
        perception=perception.model_copy(update={"combine": "one_plus_alpha"}),
        predict="pb",
        lambda_ab=1.0,
    )


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
