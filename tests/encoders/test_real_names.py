"""open_clip's real models by their real names: sizes, keys and shapes as they are, weights random, nothing downloaded.

Where only names and shapes matter, models are made on the device `meta`, which keeps no numbers.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from ala.config import load
from ala.config.schema import EncoderSettings
from ala.contracts.preprocessing import Preprocessing
from ala.encoders import Encoder, build_encoder
from ala.encoders.build import random_encoder
from ala.encoders.clip_source import clip_encoder, load_clip, random_clip, read_config
from ala.model.blueprint import plan
from ala.utils.errors import UserError
from tests.encoders.bicubic import bicubic_reference

NAME = "ViT-B-16"
CONFIG = read_config("ViT-B-16-quickgelu")  # what OpenAI's weights make of it
SMALL_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}


@pytest.fixture(scope="module")
def model() -> open_clip.CLIP:
    """The image tower as it is; an encoder has copies of its weights."""
    torch.manual_seed(0)
    return open_clip.CLIP(**(CONFIG | {"text_cfg": SMALL_TEXT})).eval()


def encoder_of(model: open_clip.CLIP, size: int) -> Encoder:
    return clip_encoder(model.visual, f"open_clip:{NAME}", CONFIG, Preprocessing.named(size, "imagenet"))


def named(name: str, weights: str = "pretrained") -> EncoderSettings:
    return EncoderSettings.model_validate({"name": name, "weights": weights, "options": [], "norm": "imagenet"})


def test_positions_of_14_x_14_are_resized_to_24_x_24(model):
    encoder = encoder_of(model, 384)
    theirs = model.visual.positional_embedding.detach()
    assert theirs.shape == (1 + 14 * 14, 768)
    positions = encoder.network.pos_embed[0]
    assert positions.shape == (1 + 24 * 24, 768)
    assert torch.equal(positions[0], theirs[0])
    expected = bicubic_reference(theirs[1:].reshape(14, 14, 768).double().numpy(), 24)
    np.testing.assert_allclose(positions[1:].reshape(24, 24, 768).numpy(), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("size", [224, 384])
def test_features_and_embedding_are_open_clips_own(model, size):
    encoder, theirs = encoder_of(model, size), copy.deepcopy(model)
    if size == 384:
        theirs.visual.positional_embedding = torch.nn.Parameter(encoder.network.pos_embed[0])
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs.encode_image(image)
        features = theirs.visual.forward_intermediates(image)["image_intermediates"]
    torch.testing.assert_close(encoder.pooled(image), expected, atol=1e-5, rtol=1e-5)
    for feature, value in encoder.features(image, range(1, 13)).items():
        torch.testing.assert_close(value, features[feature - 1], atol=1e-5, rtol=1e-5)


def test_the_paper_profile_runs_nine_of_twelve_blocks(model):
    profile, encoder = load().profiles["paper"], encoder_of(model, 224)
    blueprint = plan(
        "aea-true-sbn-true", profile.ala, profile.abn, feature_channels=encoder.feature_channels, grid=encoder.grid,
        input_size=224, classes=200,
    )  # fmt: skip
    assert profile.encoder.model == NAME
    assert len(encoder.blocks) == 12
    ran: list[int] = []
    for number, block in enumerate(encoder.blocks, start=1):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    features = encoder.features(torch.zeros(1, 3, 224, 224), blueprint.features)
    assert ran == list(range(1, 10))
    assert {feature: tuple(value.shape) for feature, value in features.items()} == dict.fromkeys(
        [0, 3, 6, 9], (1, 768, 14, 14)
    )


def shapes_of(name: str) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {key: value.shape for key, value in open_clip.CLIP(**read_config(name)).state_dict().items()}


def checkpoint_of(name: str, path: Path) -> Path:
    """A state dict of the model `name` without its large tensors, which come after the first that does not fit."""
    save_file({key: torch.zeros(shape) for key, shape in shapes_of(name).items() if shape.numel() < 2**20}, path)
    return path


@pytest.mark.parametrize(
    ("other", "misfit"),
    [
        ("ViT-L-14", r"positional_embedding has the shape \(77, 768\), not \(77, 512\)"),
        ("RN50", r"text_projection has the shape \(512, 1024\), not \(512, 512\)"),
        ("ViT-B-32", r"visual\.positional_embedding has the shape \(50, 768\), not \(197, 768\)"),
    ],
)
def test_weights_of_another_model_are_one_sentence(tmp_path, other, misfit):
    path = checkpoint_of(other, tmp_path / "weights.safetensors")
    expected = (
        rf"^{path} does not fit the open_clip model ViT-B-16: {misfit}; give weights of this architecture or"
        r" change encoder\.name$"
    )
    with torch.device("meta"), pytest.raises(UserError, match=expected):
        load_clip(named(f"open_clip:{NAME}"), path)


@pytest.mark.parametrize("name", ["RN50", "RN50x4"])
def test_a_resnet_tower_is_refused_in_words(tmp_path, name):
    sentence = r"encoder\.name: its image tower \(ModifiedResNet\) is no square Vision Transformer .*ViT-B-16/openai$"
    with torch.device("meta"), pytest.raises(UserError, match=sentence):
        random_clip(name)
    path = checkpoint_of(name, tmp_path / "weights.safetensors")
    with torch.device("meta"), pytest.raises(UserError, match=sentence):
        build_encoder(named(f"open_clip:{name}"), 384, 24, ["001.Red_Bird"], file=path)


def test_the_tower_alone_is_kept():
    """What :func:`ala.encoders.save_encoder` writes; of the text tower's 63 million weights nothing."""
    with torch.device("meta"):
        encoder = random_encoder(named(f"open_clip:{NAME}/openai"), 224, 0)
    assert sum(value.numel() for value in encoder.state_dict().values()) == 86_192_640
    assert "text_cfg" not in encoder.description["config"]
    assert encoder.description["config"]["quick_gelu"]
