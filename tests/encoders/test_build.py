from __future__ import annotations

import json

import numpy as np
import open_clip
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ala.config.schema import Encoder
from ala.contracts.origin import mark
from ala.contracts.preprocessing import Preprocessing
from ala.data.store import Store
from ala.encoders import assert_frozen, build_encoder, load_encoder, save_encoder
from ala.encoders.clip_source import read_config
from ala.encoders.clip_vit import ClipVit
from ala.encoders.conv import ConvEncoder, build_network
from ala.encoders.words import WordTokeniser
from ala.encoders.zero_shot import zero_shot_accuracy
from ala.utils.errors import UserError
from ala.utils.files import sha256

NAMES = ["001.Red_Bird", "002.Blue_Bird"]
TRAINING = {"pairs": 2, "epochs": 1, "batch": 2, "lr": 1e-3, "weight_decay": 0.0, "seed": 0}


def settings(**values) -> Encoder:
    return Encoder.model_validate(
        {"kind": "open_clip", "name": "birdlet-clip", "options": [], "norm": "clip", **values}
    )


def trainer(config, preprocessing):
    """Random weights for trained ones."""
    torch.manual_seed(0)
    words = WordTokeniser(["a red bird", "a blue bird"], 64, 32)
    return open_clip.CLIP(**config), words


@pytest.fixture
def small_vit_b_16(monkeypatch, tiny_config):
    """Lets open_clip's name ViT-B-16 stand for a small model whose text tower reads OpenAI's tokens."""
    config = tiny_config | {"text_cfg": tiny_config["text_cfg"] | {"context_length": 77, "vocab_size": 49408}}
    config.pop("quick_gelu")
    ours = open_clip.get_model_config
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: dict(config) if name == "ViT-B-16" else ours(name))
    return config


@pytest.fixture
def clip_file(small_vit_b_16, tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "clip.safetensors"
    save_file(open_clip.CLIP(**small_vit_b_16).state_dict(), path)
    return path


def test_pretrained_encoder_comes_back_from_its_folder(tmp_path):
    built = build_encoder(
        settings(pretrain=TRAINING), 80, 10, NAMES, [["a red bird"], ["a blue bird", "a bird"]], trainer
    )
    assert isinstance(built, ClipVit)
    assert_frozen(built)
    assert built.text_features.shape == (2, 64)
    torch.testing.assert_close(built.text_features.norm(dim=1), torch.ones(2))
    save_encoder(built, tmp_path, {"remark": "kept"})
    loaded = load_encoder(tmp_path)
    assert_frozen(loaded)
    assert (loaded.preprocessing, loaded.grid, loaded.tap_channels) == (built.preprocessing, 10, built.tap_channels)
    assert torch.equal(loaded.text_features, built.text_features)
    images = torch.randn(2, 3, 80, 80)
    for tap, value in built.taps(images, built.tap_channels).items():
        assert torch.equal(value, loaded.taps(images, [tap])[tap])
    assert torch.equal(built.pooled(images), loaded.pooled(images))
    about = json.loads((tmp_path / "encoder.json").read_text())
    assert about["source"]["remark"] == "kept"
    assert about["source"]["pretrain"]["pairs"] == 2
    assert about["source"]["texts"] == [["a red bird"], ["a blue bird", "a bird"]]
    assert set(load_file(tmp_path / "encoder.safetensors")) == set(built.visual.state_dict())  # no text tower


def test_another_size_comes_back_too(tmp_path):
    built = build_encoder(settings(pretrain=TRAINING), 96, 12, NAMES, [["a red bird"], ["a bird"]], trainer)
    save_encoder(built, tmp_path)
    loaded = load_encoder(tmp_path)
    images = torch.randn(1, 3, 96, 96)
    assert loaded.grid == 12
    assert torch.equal(loaded.pooled(images), built.pooled(images))


def test_a_clip_file_gives_prompts_and_its_hash(clip_file):
    encoder = build_encoder(settings(name="ViT-B-16"), 16, 2, NAMES, file=clip_file)
    assert encoder.source["texts"][0] == ["a photo of a Red Bird, a type of bird."]
    assert encoder.source["sha256"] == sha256(clip_file)
    model = open_clip.CLIP(**read_config("ViT-B-16"))
    model.load_state_dict(load_file(clip_file))
    tokens = open_clip.get_tokenizer("ViT-B-16")(["a photo of a Blue Bird, a type of bird."])
    with torch.no_grad():
        expected = model.eval().encode_text(tokens, normalize=True)[0]
    torch.testing.assert_close(encoder.text_features[1], expected)


def test_the_folder_holds_the_image_tower_and_class_texts_alone(clip_file, tmp_path):
    save_encoder(build_encoder(settings(name="ViT-B-16"), 16, 2, NAMES, file=clip_file), tmp_path / "out")
    files = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert sorted(files) == ["encoder.json", "encoder.safetensors", "text_features.safetensors"]
    whole, kept = load_file(clip_file), load_file(files["encoder.safetensors"])
    assert {f"visual.{name}" for name in kept} == {name for name in whole if name.startswith("visual.")}
    assert {name: tuple(value.shape) for name, value in load_file(files["text_features.safetensors"]).items()} == {
        "text_features": (2, 8)
    }
    assert "text_cfg" not in json.loads(files["encoder.json"].read_text())["encoder"]["config"]


def test_openai_weights_get_quick_gelu(monkeypatch, clip_file, tmp_path):
    monkeypatch.setattr(open_clip, "download_pretrained", lambda offered: str(clip_file))
    encoder = build_encoder(settings(name="ViT-B-16", pretrained="openai"), 16, 2, NAMES)
    kinds = {type(block.mlp.gelu).__name__ for block in encoder.blocks}
    assert kinds == {"QuickGELU"}
    save_encoder(encoder, tmp_path / "out")
    again = load_encoder(tmp_path / "out")
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(encoder.pooled(images), again.pooled(images))
    plain = build_encoder(settings(name="ViT-B-16", pretrained="laion400m_e31"), 16, 2, NAMES)
    assert not torch.allclose(plain.pooled(images), encoder.pooled(images))


def test_openai_weights_under_plain_gelu_are_refused(monkeypatch, clip_file):
    monkeypatch.setattr(open_clip, "download_pretrained", lambda offered: str(clip_file))
    offered = {**open_clip.get_pretrained_cfg("ViT-B-16", "openai"), "quick_gelu": False}
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda name, tag: offered)
    with pytest.raises(UserError, match="QuickGELU"):
        build_encoder(settings(name="ViT-B-16", pretrained="openai"), 16, 2, NAMES)


def test_a_file_of_openais_form_is_read_and_gets_quick_gelu(clip_file, small_vit_b_16, tmp_path):
    """As `torch.jit.load(...).state_dict()` gives it: half precision, and three numbers beside the weights."""
    numbers = {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}
    state = {name: value.half() for name, value in load_file(clip_file).items()}
    torch.save(state | {name: torch.tensor(value) for name, value in numbers.items()}, tmp_path / "openai.pt")
    encoder = build_encoder(settings(name="ViT-B-16"), 16, 2, NAMES, file=tmp_path / "openai.pt")
    assert {type(block.mlp.gelu).__name__ for block in encoder.blocks} == {"QuickGELU"}
    assert encoder.weights()["conv1.weight"].dtype == torch.float32
    plain = build_encoder(settings(name="ViT-B-16"), 16, 2, NAMES, file=clip_file)
    assert {type(block.mlp.gelu).__name__ for block in plain.blocks} == {"GELU"}


def test_random_weights_are_always_the_same_and_say_so(small_vit_b_16, tmp_path):
    torch.manual_seed(1)
    one = build_encoder(settings(name="ViT-B-16", random_weights=True), 16, 2, NAMES)
    torch.manual_seed(2)
    other = build_encoder(settings(name="ViT-B-16", random_weights=True), 16, 2, NAMES)
    assert all(torch.equal(value, other.weights()[name]) for name, value in one.weights().items())
    assert torch.equal(one.text_features, other.text_features)
    assert not torch.allclose(one.text_features[0], one.text_features[1])  # the text tower and its tokeniser ran
    save_encoder(one, tmp_path)
    about = json.loads((tmp_path / "encoder.json").read_text())
    assert about["source"]["weights"] == "random weights"
    assert about["source"]["texts"][0] == ["a photo of a Red Bird, a type of bird."]
    assert mark(about) == "rehearsal: random weights"


def test_trained_weights_have_no_mark(clip_file, tmp_path):
    save_encoder(build_encoder(settings(name="ViT-B-16"), 16, 2, NAMES, file=clip_file), tmp_path)
    assert mark(json.loads((tmp_path / "encoder.json").read_text())) is None


def test_without_network_the_remedy_is_a_file(monkeypatch):
    def fail(offered):
        raise ConnectionError("no route to host\nmore lines")

    monkeypatch.setattr(open_clip, "download_pretrained", fail)
    with pytest.raises(UserError, match=r"could not be downloaded \(no route to host\).*inputs\.encoder") as error:
        build_encoder(settings(name="ViT-B-16", pretrained="openai"), 224, 14, NAMES)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"name": "ViT-X-99"},
            r"'ViT-X-99' is neither in ala/encoders/configs \(birdlet-clip\) nor a model of open_clip",
        ),
        ({"random_weights": True}, "birdlet-clip has no text tower and tokeniser of OpenAI's form"),
        ({"name": "ViT-B-16"}, "would keep random weights"),
        ({"name": "ViT-B-16", "pretrained": "nobody"}, "no weights 'nobody' for ViT-B-16; it has openai"),
        ({"name": "../configs/birdlet-clip"}, "is neither in ala/encoders/configs"),  # no file that DVC does not see
        ({"pretrain": TRAINING}, "needs captioned drawings"),
        (
            {"kind": "timm", "name": "test_resnet"},
            "inputs.encoder is inputs/none, so test_resnet would keep random weights",
        ),
    ],
)
def test_settings_that_give_no_encoder(small_vit_b_16, values, message):
    with pytest.raises(UserError, match=message) as error:
        build_encoder(settings(**values), 80, 10, NAMES)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "ViT-B-16"}, r"none\.pt does not exist"),
        ({"name": "birdlet-clip"}, "has no text tower and tokeniser of OpenAI's form"),
        ({"kind": "timm", "name": "test_resnet"}, r"none\.pt does not exist"),
    ],
)
def test_files_that_give_no_encoder(small_vit_b_16, tmp_path, values, message):
    with pytest.raises(UserError, match=message):
        build_encoder(settings(**values), 80, 10, NAMES, file=tmp_path / "none.pt")


def test_a_file_takes_the_place_of_a_download(clip_file, monkeypatch):
    monkeypatch.setattr(open_clip, "download_pretrained", lambda offered: pytest.fail("downloaded"))
    encoder = build_encoder(settings(name="ViT-B-16", pretrained="openai"), 16, 2, NAMES, file=clip_file)
    assert (encoder.source["pretrained"], encoder.source["sha256"]) == (None, sha256(clip_file))
    assert {type(block.mlp.gelu).__name__ for block in encoder.blocks} == {"GELU"}  # the file's form decides


def test_a_clip_file_of_another_architecture(clip_file):
    weights = load_file(clip_file)
    weights["visual.conv1.weight"] = torch.zeros(16, 3, 4, 4)
    save_file(weights, clip_file)
    with pytest.raises(UserError, match=r"clip\.safetensors does not fit .* ViT-B-16: visual\.conv1\.weight has"):
        build_encoder(settings(name="ViT-B-16"), 16, 2, NAMES, file=clip_file)


def test_a_convolutional_encoder_comes_back(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "cnn.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=5).state_dict(), path)
    built = build_encoder(settings(kind="timm", name="test_resnet", norm="half"), 64, 8, NAMES, file=path)
    assert built.source == {"name": "test_resnet", "norm": "half", "file": "cnn.safetensors", "sha256": sha256(path)}
    save_encoder(built, tmp_path / "out")
    loaded = load_encoder(tmp_path / "out")
    assert isinstance(loaded, ConvEncoder)
    assert loaded.preprocessing.mean == (0.5, 0.5, 0.5)
    assert not (tmp_path / "out" / "text_features.safetensors").exists()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(loaded.taps(images, [1])[1], built.taps(images, [1])[1])


@pytest.fixture
def folder(tmp_path):
    network = build_network("test_resnet", {})
    save_encoder(ConvEncoder(network, "test_resnet", {}, Preprocessing.named(32, "half"), 4), tmp_path)
    return tmp_path


def test_a_folder_without_an_encoder(tmp_path):
    with pytest.raises(UserError, match=r"encoder\.json does not exist; run the encoder stage"):
        load_encoder(tmp_path)


def test_exchanged_weights_are_noticed(folder):
    weights = load_file(folder / "encoder.safetensors")
    save_file({key: value + 1 for key, value in weights.items()}, folder / "encoder.safetensors")
    with pytest.raises(UserError, match=r"encoder\.safetensors is not the file that .*encoder\.json tells of"):
        load_encoder(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"encoder": {}}'])
def test_a_damaged_description_is_noticed(folder, text):
    (folder / "encoder.json").write_text(text)
    with pytest.raises(UserError, match=r"encoder\.json .*run the encoder stage again"):
        load_encoder(folder)


def test_an_encoder_that_can_learn_is_not_saved(folder):
    encoder = load_encoder(folder)
    encoder.requires_grad_(True)
    with pytest.raises(AssertionError, match="requires a gradient"):
        save_encoder(encoder, folder)


def test_zero_shot_accuracy_by_hand(tiny_config):
    # Text features are the embeddings of photos 0 and 1; photos 2 and 3 repeat photo 0 with right and wrong labels.
    torch.manual_seed(0)
    model = open_clip.CLIP(**tiny_config).eval()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)[[0, 1, 0, 0]]
    encoder = ClipVit(model.visual, tiny_config, Preprocessing.named(16, "clip"))
    store = Store(
        size=16, split="test", names=["a", "b"], image_ids=np.arange(4), labels=np.array([0, 1, 0, 1]), images=pixels,
        masks=np.zeros((4, 16, 16), np.uint8), boxes=np.zeros((4, 4), np.float32),
    )  # fmt: skip
    assert zero_shot_accuracy(encoder, store) is None
    vectors = encoder.pooled(encoder.preprocessing.normalise(store.pixels([0, 1])))
    encoder.text_features = nn.functional.normalize(vectors, dim=-1)
    assert zero_shot_accuracy(encoder, store, batch=3) == 0.75
