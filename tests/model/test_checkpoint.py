from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ala.config.schema import Abn, Ala, Lora
from ala.encoders import Encoder, save_encoder
from ala.model.adapter import Adapter
from ala.model.blueprint import plan
from ala.model.checkpoint import load_model, read_about, restore, save_model, sha256_of
from ala.model.explained import ExplainedModel
from ala.model.lora import LoraEncoder
from ala.utils.errors import UserError

IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def trained(ala: Ala, abn: Abn, encoder: Any, variant: str = "aea-true-sbn-true") -> ExplainedModel:
    blueprint = plan(variant, ala, abn, feature_channels=encoder.feature_channels, grid=4, input_size=16, classes=3)
    adapter = Adapter(blueprint, seed=0)
    if blueprint.lora is not None:
        encoder = LoraEncoder(encoder, blueprint.lora, blueprint.features)
        for parameter in encoder.update().values():
            torch.nn.init.normal_(parameter)
    images = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    for _ in range(20):  # statistics of batch norm that are not those of a fresh model
        with torch.no_grad():
            adapter.train()(images, encoder.features(images, blueprint.features))
    model = ExplainedModel(encoder, adapter)
    assert model.logits(IMAGES).std(0).max() > 0.01  # predictions differ from image to image
    return model


@pytest.mark.parametrize("variant", ["aea-true-sbn-true", "aea-false-sbn-false", "abn"])
def test_comes_back_as_it_was(tmp_path: Path, ala: Ala, abn: Abn, clip_vit: Encoder, variant: str) -> None:
    save_encoder(clip_vit, tmp_path / "encoder")
    model = trained(ala, abn, clip_vit, variant)
    save_model(tmp_path / "m", model, {"seed": 3, "encoder_sha256": sha256_of(tmp_path / "encoder")})
    again = load_model(tmp_path / "m", tmp_path / "encoder")
    assert torch.equal(again(IMAGES), model(IMAGES))
    assert torch.equal(again.explain(IMAGES), model.explain(IMAGES))
    assert again.adapter.blueprint == model.adapter.blueprint
    assert read_about(tmp_path / "m")["seed"] == 3
    assert not any(parameter.requires_grad for parameter in again.encoder.parameters())


def test_low_rank_update_is_kept(tmp_path: Path, ala: Ala, abn: Abn, clip_vit: Encoder) -> None:
    settings = ala.model_copy(update={"lora": Lora(block=1, rank=2, alpha=4.0)})
    save_encoder(clip_vit, tmp_path / "encoder")
    model = trained(settings, abn, clip_vit)
    save_model(tmp_path / "m", model, {})
    again = load_model(tmp_path / "m", tmp_path / "encoder")
    assert torch.equal(again(IMAGES), model(IMAGES))
    without = ExplainedModel(clip_vit, trained(ala, abn, clip_vit).adapter)
    without.adapter.load_state_dict(model.adapter.state_dict())
    assert not torch.allclose(without.logits(IMAGES), model.logits(IMAGES))


def test_equal_models_give_equal_files(tmp_path: Path, ala: Ala, abn: Abn, encoder: Any) -> None:
    torch.manual_seed(0)
    save_model(tmp_path / "a", trained(ala, abn, encoder), {"seed": 0})
    torch.manual_seed(0)
    save_model(tmp_path / "b", trained(ala, abn, encoder), {"seed": 0})
    for name in ("weights.safetensors", "model.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert str(tmp_path) not in (tmp_path / "a" / "model.json").read_text()


@pytest.fixture
def saved(tmp_path: Path, ala: Ala, abn: Abn, encoder: Any) -> Path:
    save_model(tmp_path / "m", trained(ala, abn, encoder), {"encoder_sha256": "0" * 64})
    return tmp_path / "m"


def edited(folder: Path, edit: Any) -> None:
    tensors = load_file(folder / "weights.safetensors")
    edit(tensors)
    save_file(tensors, folder / "weights.safetensors")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop("attention.map.bias"), "lacks attention.map.bias: it is of another architecture"),
        (lambda t: t.update({"side.extra": torch.zeros(1)}), "holds side.extra, which the model does not have"),
        (
            lambda t: t.update({"side.queries": torch.zeros(1, 9, 8)}),
            r"side.queries of shape \(1, 9, 8\), not \(1, 5, 8\)",
        ),
    ],
)
def test_weights_of_another_architecture(saved: Path, encoder: Any, edit: Any, message: str) -> None:
    edited(saved, edit)
    with pytest.raises(UserError, match=f"weights.safetensors .*{message}.*run the train stage again"):
        restore(saved, encoder)


def test_cut_off_weights(saved: Path, encoder: Any) -> None:
    file = saved / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(UserError, match=r"weights\.safetensors is no safetensors file or is cut off"):
        restore(saved, encoder)


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
def test_missing_file(saved: Path, encoder: Any, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(UserError, match=f"{name} does not exist; run the train stage again"):
        restore(saved, encoder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        ("[]", "holds no blueprint"),
        ('{"blueprint": {}}', "blueprint.variant: field required"),
    ],
)
def test_unreadable_description(saved: Path, encoder: Any, text: str, message: str) -> None:
    (saved / "model.json").write_text(text)
    with pytest.raises(UserError, match=message):
        restore(saved, encoder)


def test_another_encoder(tmp_path: Path, saved: Path, clip_vit: Encoder) -> None:
    save_encoder(clip_vit, tmp_path / "encoder")
    with pytest.raises(UserError, match="was trained on the encoder 000000000000, but"):
        load_model(saved, tmp_path / "encoder")
    with pytest.raises(UserError, match="needs encoder feature 0 with 6 channels, but the encoder has 32"):
        restore(saved, clip_vit)
    with pytest.raises(UserError, match=r"encoder.safetensors does not exist; run the encoder stage first"):
        load_model(saved, tmp_path / "nowhere")


def test_description_is_plain_json(saved: Path) -> None:
    blueprint = json.loads((saved / "model.json").read_text())["blueprint"]
    assert blueprint["side"]["fusion_map"] == [[0, 0], [2, 1], [3, 3]]
    assert blueprint["channels"] == {"0": 6, "2": 6, "3": 6}
