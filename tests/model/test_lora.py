from __future__ import annotations

from typing import Any

import pytest
import torch

from ala.config.schema import Lora
from ala.contracts.preprocessing import Preprocessing
from ala.encoders import Encoder
from ala.encoders.networks import make_encoder
from ala.model.lora import LoraEncoder
from ala.utils.errors import UserError

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
SETTINGS = Lora(block=1, rank=2, alpha=4.0)


@pytest.fixture
def lora(clip_vit: Encoder) -> LoraEncoder:
    return LoraEncoder(clip_vit, SETTINGS, [0, 1, 2])


def test_starts_as_the_encoder_it_copies(clip_vit: Encoder, lora: LoraEncoder) -> None:
    before, after = clip_vit.features(IMAGES, [0, 1, 2]), lora.features(IMAGES, [0, 1, 2])
    for feature in before:
        torch.testing.assert_close(after[feature], before[feature])


def test_gradient_reaches_the_update_and_nothing_else(clip_vit: Encoder, lora: LoraEncoder) -> None:
    assert len(lora.update()) == 6  # down and up of three linear maps
    for name, parameter in lora.update().items():
        assert "parametrizations.weight.0." in name
        torch.nn.init.normal_(parameter, std=0.2)
    features = lora.features(IMAGES, [0, 1, 2])
    assert not features[0].requires_grad  # before the block
    assert not features[1].requires_grad
    features[2].square().sum().backward()
    for name, parameter in lora.named_parameters():
        assert (parameter.grad is not None) == (name.removeprefix("encoder.") in lora.update()), name
    assert all(parameter.grad.abs().sum() > 0 for parameter in lora.update().values())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in clip_vit.parameters())
    assert clip_vit.blocks[1].mlp.fc1.weight is not lora.encoder.blocks[1].mlp.fc1.weight


def test_update_is_the_low_rank_product(clip_vit: Encoder, lora: LoraEncoder) -> None:
    for parameter in lora.update().values():
        torch.nn.init.normal_(parameter, std=0.2)
    update = lora.update()
    for path in ("mlp.fc1", "mlp.fc2", "attn.proj"):
        name = f"network.blocks.1.{path}."
        down, up = (update[f"{name}parametrizations.weight.0.{part}"] for part in ("down", "up"))
        expected = clip_vit.get_parameter(f"{name}weight") + 4.0 / 2 * up @ down
        module: Any = lora.encoder.get_submodule(name.removesuffix("."))
        torch.testing.assert_close(module.weight, expected)
    assert not torch.allclose(lora.features(IMAGES, [2])[2], clip_vit.features(IMAGES, [2])[2])


def test_evaluation_takes_the_same_values_as_training(lora: LoraEncoder) -> None:
    for parameter in lora.update().values():
        torch.nn.init.normal_(parameter, std=0.2)
    with torch.inference_mode():
        plain = lora.features(IMAGES, [2])[2]
    assert torch.equal(lora.features(IMAGES, [2])[2], plain)


@pytest.mark.parametrize(("block", "features"), [(2, [0, 2]), (3, [3]), (9, [3])])
def test_a_block_that_is_not_executed_is_refused(clip_vit: Encoder, block: int, features: list[int]) -> None:
    with pytest.raises(UserError, match=rf"ala.lora.block \({block}\) is not executed: .* choose a block from 0 to"):
        LoraEncoder(clip_vit, SETTINGS.model_copy(update={"block": block}), features)


def test_needs_a_transformer() -> None:
    network = {"name": "timm:test_resnet", "options": {}}
    with pytest.raises(
        UserError, match=r"ala\.lora needs a Vision Transformer, not timm:test_resnet; set ala.lora to null"
    ):
        LoraEncoder(make_encoder(network, Preprocessing.named(32, "half"), 4), SETTINGS, [0, 1])
