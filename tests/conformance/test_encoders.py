"""Encoders of every family that timm has a small model of keep the contract, and each check fails for a broken one."""

from __future__ import annotations

import ala.utils.torchvision_import  # noqa: F401  (before timm)

# isort: split
import pytest
import timm
import torch

from ala.contracts.preprocessing import Preprocessing
from ala.encoders.clip_source import read_config
from ala.encoders.encoder import Encoder
from ala.encoders.networks import make_encoder
from ala.testing import check_encoder

CONFIGS = ["birdlet-clip"]


def made(name: str, kind: type = Encoder, size: int = 64) -> Encoder:
    torch.manual_seed(0)
    if name in CONFIGS:
        config, texts = read_config(name), torch.eye(4, read_config(name)["embed_dim"])
        size = config["vision_cfg"]["image_size"]
        encoder = make_encoder(
            {"name": f"open_clip:{name}", "config": config}, Preprocessing.named(size, "clip"), 4, texts
        )
    else:
        encoder = make_encoder({"name": f"timm:{name}", "options": {}}, Preprocessing.named(size, "half"), 4)
    for weight in encoder.parameters():  # some are left as memory was
        torch.nn.init.normal_(weight, std=0.05)
    encoder.__class__ = kind
    return encoder


@pytest.mark.parametrize("name", [*timm.list_models("test_*"), *CONFIGS])
def test_encoders_by_name_keep_the_contract(name):
    check_encoder(made(name))


class OtherGrid(Encoder):
    def features(self, images, wanted):
        return {number: feature[:, :, 1:] for number, feature in super().features(images, wanted).items()}


class Half(Encoder):
    def features(self, images, wanted):
        return {number: feature.half() for number, feature in super().features(images, wanted).items()}


class NotFinite(Encoder):
    def features(self, images, wanted):
        return {number: feature / 0 for number, feature in super().features(images, wanted).items()}


class OverTheBatch(Encoder):
    def features(self, images, wanted):
        return {number: feature - feature.mean(0) for number, feature in super().features(images, wanted).items()}


class Trains(Encoder):
    def train(self, mode=True):
        return torch.nn.Module.train(self, mode)


class Free(Encoder):
    pass


class NoGradients(Encoder):
    @torch.no_grad()
    def features(self, images, wanted):
        return super().features(images, wanted)


class AnyFeature(Encoder):
    def features(self, images, wanted):
        return super().features(images, [min(number, self.last_feature) for number in wanted])


class AnySize(Encoder):
    def _check(self, images):
        pass


class Drops(Encoder):
    def features(self, images, wanted):
        found = super().features(images, wanted)
        return {number: torch.nn.functional.dropout(feature) for number, feature in found.items()}


class Long(Encoder):
    def pooled(self, images):
        return super().pooled(images)[:, :, None]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (OtherGrid, r"features of OtherGrid timm:test_vit: feature 0 has the shape"),
        (Half, "feature 0 is torch.float16; give float32"),
        (NotFinite, "feature 0 holds NaN or infinity"),
        (OverTheBatch, "feature 0 of one image alone differs by"),
        (Trains, r"train\(\) switches training mode on"),
        (Free, "requires a gradient; call requires_grad_"),
        (NoGradients, "no gradient reaches the images"),
        (
            AnyFeature,
            "errors of AnyFeature .*: feature [0-9]+, which it has not raises KeyError, not UserError|it takes",
        ),
        (AnySize, "errors of AnySize .*: .*images of shape"),
        (Drops, "it changed torch's global random state"),
        (Long, r"embedding of Long .*: its shape is \(4, [0-9]+, 1\)"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_broken_contract_is_one_sentence(kind, message):
    encoder = made("test_vit", kind)
    if kind is Free:
        encoder.network.requires_grad_(True)
    with pytest.raises(AssertionError, match=message) as caught:
        check_encoder(encoder)
    assert "\n" not in str(caught.value)


def test_text_features_are_unit_vectors_as_long_as_the_embedding():
    encoder = made("birdlet-clip")
    encoder.text_features = encoder.text_features * 2
    with pytest.raises(AssertionError, match="a text feature has length 2, not 1"):
        check_encoder(encoder)
    encoder.text_features = torch.eye(3)
    with pytest.raises(AssertionError, match=r"text features are \(3, 3\) beside images of"):
        check_encoder(encoder)
