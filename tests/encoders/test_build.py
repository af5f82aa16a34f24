from __future__ import annotations

import json

import numpy as np
import open_clip
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ala.config.schema import EncoderSettings
from ala.contracts.origin import mark
from ala.contracts.preprocessing import Preprocessing
from ala.data.image_cache import ImageCache
from ala.encoders import assert_frozen, build_encoder, load_encoder, save_encoder
from ala.encoders.clip_source import clip_encoder, read_config
from ala.encoders.networks import make_encoder
from ala.encoders.words import WordTokeniser
from ala.encoders.zero_shot import zero_shot_accuracy
from ala.utils.errors import UserError
from ala.utils.files import sha256

NAMES = ["001.Red_Bird", "002.Blue_Bird"]
TRAINING = {"pairs": 2, "epochs": 1, "batch": 2, "lr": 1e-3, "weight_decay": 0.0, "seed": 0}


def settings(name: str = "open_clip:birdlet-clip", weights: str = "pretrained", **values) -> EncoderSettings:
    return EncoderSettings.model_validate({"name": name, "weights": weights, "options": [], "norm": "clip", **values})


def trainer(config, preprocessing):
    """Random weights for trained ones."""
    torch.manual_seed(0)
    words = WordTokeniser(["a red bird", "a blue bird"], 64, 32)
    return open_clip.CLIP(**config), words


@pytest.fixture
def small_vit_b_16(monkeypatch, tiny_config):
    """Lets open_clip's name ViT-B-16 mean a small model whose text tower reads OpenAI's tokens."""
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
        settings(weights="train", pretrain=TRAINING),
        80,
        10,
        NAMES,
        [["a red bird"], ["a blue bird", "a bird"]],
        trainer,
    )
    assert_frozen(built)
    assert built.text_features.shape == (2, 64)
    torch.testing.assert_close(built.text_features.norm(dim=1), torch.ones(2))
    save_encoder(built, tmp_path, {"remark": "kept"})
    loaded = load_encoder(tmp_path)
    assert_frozen(loaded)
    assert (loaded.preprocessing, loaded.grid, loaded.feature_channels) == (
        built.preprocessing,
        10,
        built.feature_channels,
    )
    assert torch.equal(loaded.text_features, built.text_features)
    images = torch.randn(2, 3, 80, 80)
    for feature, value in built.features(images, built.feature_channels).items():
        assert torch.equal(value, loaded.features(images, [feature])[feature])
    assert torch.equal(built.pooled(images), loaded.pooled(images))
    about = json.loads((tmp_path / "encoder.json").read_text())
    assert about["source"]["remark"] == "kept"
    assert about["source"]["pretrain"]["pairs"] == 2
    assert about["source"]["texts"] == [["a red bird"], ["a blue bird", "a bird"]]
    assert set(load_file(tmp_path / "encoder.safetensors")) == set(built.state_dict())  # no text tower


def test_another_size_comes_back_too(tmp_path):
    built = build_encoder(
        settings(weights="train", pretrain=TRAINING), 96, 12, NAMES, [["a red bird"], ["a bird"]], trainer
    )
    save_encoder(built, tmp_path)
    loaded = load_encoder(tmp_path)
    images = torch.randn(1, 3, 96, 96)
    assert loaded.grid == 12
    assert torch.equal(loaded.pooled(images), built.pooled(images))


def test_a_clip_file_gives_prompts_and_its_hash(clip_file):
    encoder = build_encoder(settings("open_clip:ViT-B-16"), 16, 2, NAMES, file=clip_file)
    assert encoder.source["texts"][0] == ["a photo of a Red Bird, a type of bird."]
    assert encoder.source["sha256"] == sha256(clip_file)
    model = open_clip.CLIP(**read_config("ViT-B-16"))
    model.load_state_dict(load_file(clip_file))
    tokens = open_clip.get_tokenizer("ViT-B-16")(["a photo of a Blue Bird, a type of bird."])
    with torch.no_grad():
        expected = model.eval().encode_text(tokens, normalize=True)[0]
    torch.testing.assert_close(encoder.text_features[1], expected)


def test_the_folder_holds_the_image_tower_and_class_texts_alone(clip_file, tmp_path):
    save_encoder(build_encoder(settings("open_clip:ViT-B-16"), 16, 2, NAMES, file=clip_file), tmp_path / "out")
    files = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert sorted(files) == ["encoder.json", "encoder.safetensors", "text_features.safetensors"]
    whole, kept = load_file(clip_file), load_file(files["encoder.safetensors"])
    tower = [value for name, value in whole.items() if name.startswith("visual.")]
    assert sum(value.numel() for value in kept.values()) == sum(value.numel() for value in tower)
    assert {name: tuple(value.shape) for name, value in load_file(files["text_features.safetensors"]).items()} == {
        "text_features": (2, 8)
    }
    assert "text_cfg" not in json.loads(files["encoder.json"].read_text())["encoder"]["config"]


def test_openai_weights_get_quick_gelu(monkeypatch, clip_file, tmp_path):
    monkeypatch.setattr(open_clip, "download_pretrained", lambda offered: str(clip_file))
    encoder = build_encoder(settings("open_clip:ViT-B-16/openai"), 16, 2, NAMES)
    kinds = {type(block.mlp.act).__name__ for block in encoder.blocks}
    assert kinds == {"QuickGELU"}
    save_encoder(encoder, tmp_path / "out")
    again = load_encoder(tmp_path / "out")
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(encoder.pooled(images), again.pooled(images))
    plain = build_encoder(settings("open_clip:ViT-B-16/laion400m_e31"), 16, 2, NAMES)
    assert not torch.allclose(plain.pooled(images), encoder.pooled(images))


def test_openai_weights_under_plain_gelu_are_refused(monkeypatch, clip_file):
    monkeypatch.setattr(open_clip, "download_pretrained", lambda offered: str(clip_file))
    offered = {**open_clip.get_pretrained_cfg("ViT-B-16", "openai"), "quick_gelu": False}
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda name, tag: offered)
    with pytest.raises(UserError, match="QuickGELU"):
        build_encoder(settings("open_clip:ViT-B-16/openai"), 16, 2, NAMES)


def test_a_file_of_openais_form_is_read_and_gets_quick_gelu(clip_file, small_vit_b_16, tmp_path):
    """As `torch.jit.load(...).state_dict()` gives it: half precision, and three numbers beside the weights."""
    numbers = {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}
    state = {name: value.half() for name, value in load_file(clip_file).items()}
    torch.save(state | {name: torch.tensor(value) for name, value in numbers.items()}, tmp_path / "openai.pt")
    encoder = build_encoder(settings("open_clip:ViT-B-16"), 16, 2, NAMES, file=tmp_path / "openai.pt")
    assert {type(block.mlp.act).__name__ for block in encoder.blocks} == {"QuickGELU"}
    assert encoder.network.patch_embed.proj.weight.dtype == torch.float32
    plain = build_encoder(settings("open_clip:ViT-B-16"), 16, 2, NAMES, file=clip_file)
    assert {type(block.mlp.act).__name__ for block in plain.blocks} == {"GELU"}


def test_random_weights_are_always_the_same_and_say_so(small_vit_b_16, tmp_path):
    torch.manual_seed(1)
    one = build_encoder(settings("open_clip:ViT-B-16", "random"), 16, 2, NAMES)
    torch.manual_seed(2)
    other = build_encoder(settings("open_clip:ViT-B-16", "random"), 16, 2, NAMES)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    assert torch.equal(one.text_features, other.text_features)
    assert not torch.allclose(one.text_features[0], one.text_features[1])  # the text tower and its tokeniser ran
    save_encoder(one, tmp_path)
    about = json.loads((tmp_path / "encoder.json").read_text())
    assert about["source"]["weights"] == "random weights"
    assert about["source"]["texts"][0] == ["a photo of a Red Bird, a type of bird."]
    assert mark(about) == "rehearsal: random weights"


def test_trained_weights_have_no_mark(clip_file, tmp_path):
    save_encoder(build_encoder(settings("open_clip:ViT-B-16"), 16, 2, NAMES, file=clip_file), tmp_path)
    assert mark(json.loads((tmp_path / "encoder.json").read_text())) is None


def test_without_network_the_remedy_is_a_file(monkeypatch):
    def fail(offered):
        raise ConnectionError("no route to host\nmore lines")

    monkeypatch.setattr(open_clip, "download_pretrained", fail)
    with pytest.raises(UserError, match=r"could not be downloaded \(no route to host\).*inputs\.encoder") as error:
        build_encoder(settings("open_clip:ViT-B-16/openai"), 224, 14, NAMES)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"name": "open_clip:ViT-X-99"},
            r"'ViT-X-99' is neither in ala/encoders/configs \(birdlet-clip\) nor a model of open_clip; near ones",
        ),
        ({"weights": "random"}, "birdlet-clip has no text tower and tokeniser of OpenAI's form"),
        ({"name": "open_clip:ViT-B-16"}, "would keep random weights"),
        ({"name": "open_clip:ViT-B-16/nobody"}, "no weights 'nobody' for ViT-B-16; it has openai"),
        ({"weights": "train", "pretrain": TRAINING}, "needs captioned drawings"),
        ({"name": "timm:test_resnet"}, "inputs.encoder is inputs/none, so test_resnet would keep random weights"),
    ],
)
def test_settings_that_give_no_encoder(small_vit_b_16, values, message):
    with pytest.raises(UserError, match=message) as error:
        build_encoder(settings(**values), 80, 10, NAMES)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "open_clip:ViT-B-16"}, r"none\.pt does not exist"),
        ({"name": "open_clip:birdlet-clip"}, "has no text tower and tokeniser of OpenAI's form"),
        ({"name": "timm:test_resnet"}, r"none\.pt does not exist"),
    ],
)
def test_files_that_give_no_encoder(small_vit_b_16, tmp_path, values, message):
    with pytest.raises(UserError, match=message):
        build_encoder(settings(**values), 80, 10, NAMES, file=tmp_path / "none.pt")


def test_a_file_takes_the_place_of_a_download(clip_file, monkeypatch):
    monkeypatch.setattr(open_clip, "download_pretrained", lambda offered: pytest.fail("downloaded"))
    encoder = build_encoder(settings("open_clip:ViT-B-16/openai"), 16, 2, NAMES, file=clip_file)
    assert (encoder.source["name"], encoder.source["sha256"]) == ("open_clip:ViT-B-16", sha256(clip_file))
    assert {type(block.mlp.act).__name__ for block in encoder.blocks} == {"GELU"}  # the file's form decides


def test_a_clip_file_of_another_architecture(clip_file):
    weights = load_file(clip_file)
    weights["visual.conv1.weight"] = torch.zeros(16, 3, 4, 4)
    save_file(weights, clip_file)
    with pytest.raises(UserError, match=r"clip\.safetensors does not fit .* ViT-B-16: visual\.conv1\.weight has"):
        build_encoder(settings("open_clip:ViT-B-16"), 16, 2, NAMES, file=clip_file)


def checkpoint(name, path, **options):
    """A state dict of the whole classifier with random weights, running statistics included."""
    torch.manual_seed(0)
    model = timm.create_model(name, **{"num_classes": 5, **options}).eval()
    for key, tensor in model.state_dict().items():
        if key.endswith("running_mean"):
            tensor.normal_(std=0.1)
        elif key.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    save_file(model.state_dict(), path)
    return model


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [("test_resnet", {}, 64), ("test_convnext", {}, 64), ("test_vit", {"img_size": 64}, 64), ("test_vit", {}, 160)],
)
def test_a_timm_encoder_takes_the_weights_of_the_whole_classifier(tmp_path, name, options, size):
    path = tmp_path / "w.safetensors"
    model = checkpoint(name, path, **options)
    built = build_encoder(
        settings(f"timm:{name}", norm="half", options=list(options.items())), size, 8, NAMES, file=path
    )
    assert_frozen(built)
    assert built.source == {"name": f"timm:{name}", "norm": "half", "file": "w.safetensors", "sha256": sha256(path)}
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected = model.forward_head(model.forward_features(images), pre_logits=True)
    torch.testing.assert_close(built.pooled(images), expected)
    save_encoder(built, tmp_path / "out")
    loaded = load_encoder(tmp_path / "out")
    assert loaded.preprocessing.mean == (0.5, 0.5, 0.5)
    assert not (tmp_path / "out" / "text_features.safetensors").exists()
    assert torch.equal(loaded.features(images, [1])[1], built.features(images, [1])[1])


def test_a_timm_transformer_takes_another_size_than_its_weights(tmp_path):
    checkpoint("test_vit", tmp_path / "w.safetensors")
    built = build_encoder(settings("timm:test_vit"), 96, 0, NAMES, file=tmp_path / "w.safetensors")
    assert (built.grid, built.network.pos_embed.shape[1]) == (6, 1 + 36)


def test_half_precision_files_become_float32(tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoint("test_resnet", path)
    save_file({key: x.half() if x.is_floating_point() else x for key, x in load_file(path).items()}, path)
    encoder = build_encoder(settings("timm:test_resnet"), 64, 8, NAMES, file=path)
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("layer1.0.conv1.weight"), r"layer1\.0\.conv1\.weight is missing"),
        (
            lambda w: w.update({"layer1.0.conv1.weight": torch.zeros(1, 2)}),
            r"layer1\.0\.conv1\.weight has the shape \(1, 2\), not",
        ),
        (lambda w: w.update({"layer9.extra": torch.zeros(1)}), r"layer9\.extra is unknown to it"),
    ],
)
def test_a_key_that_does_not_fit_is_named(tmp_path, change, message):
    path = tmp_path / "w.safetensors"
    checkpoint("test_resnet", path)
    weights = load_file(path)
    change(weights)
    save_file(weights, path)
    with pytest.raises(UserError, match=rf"w\.safetensors does not fit the timm model test_resnet: {message}"):
        build_encoder(settings("timm:test_resnet"), 64, 8, NAMES, file=path)


def test_weights_of_a_timm_name_are_fetched_or_requested_as_a_file(monkeypatch):
    real, wanted = timm.create_model, []

    def create(name, pretrained=False, **options):
        wanted.append((name, pretrained))
        if len(wanted) > 1:
            raise ConnectionError("no route to host")
        return real(name.partition(".")[0], **options)

    monkeypatch.setattr(timm, "create_model", create)
    named = settings("timm:test_resnet.r160_in1k")
    assert build_encoder(named, 64, 8, NAMES).source == {"name": "timm:test_resnet.r160_in1k", "norm": "clip"}
    assert wanted == [("test_resnet.r160_in1k", True)]
    with pytest.raises(UserError, match=r"could not be downloaded \(no route to host\).*inputs\.encoder"):
        build_encoder(named, 64, 8, NAMES)


@pytest.mark.slow
def test_the_real_weights_load_and_padding_matters(shared_weights):
    path = shared_weights / "mobilenetv2_100_imagenet.safetensors"
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    full = timm.create_model("mobilenetv2_100", num_classes=1001, pad_type="same").eval()
    full.load_state_dict(load_file(path))
    with torch.no_grad():
        maps = full.forward_intermediates(images, intermediates_only=True)
    same, other = (
        build_encoder(settings("timm:mobilenetv2_100", options=options), 224, 14, NAMES, file=path)
        for options in ([["pad_type", "same"]], [])
    )
    assert same.feature_channels == {0: 16, 1: 24, 2: 32, 3: 96, 4: 320}
    found = same.features(images, [3])[3]
    torch.testing.assert_close(found, maps[3], atol=1e-3, rtol=1e-3)  # 14 x 14 already
    assert (other.features(images, [3])[3] - found).abs().mean() > 0.1
    with pytest.raises(UserError, match=r"mobilenetv2_100_imagenet\.safetensors does not fit the timm model resnet10t"):
        build_encoder(settings("timm:resnet10t"), 224, 14, NAMES, file=path)


@pytest.fixture
def folder(tmp_path):
    description = {"name": "timm:test_resnet", "options": {}}
    save_encoder(make_encoder(description, Preprocessing.named(32, "half"), 4), tmp_path)
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
    # Text features are the embeddings of images 0 and 1; images 2 and 3 repeat image 0 with right and wrong labels.
    torch.manual_seed(0)
    model = open_clip.CLIP(**tiny_config).eval()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)[[0, 1, 0, 0]]
    encoder = clip_encoder(model.visual, "open_clip:small", tiny_config, Preprocessing.named(16, "clip"))
    image_cache = ImageCache(
        size=16, split="test", names=["a", "b"], image_ids=np.arange(4), labels=np.array([0, 1, 0, 1]), images=pixels,
        masks=np.zeros((4, 16, 16), np.uint8), boxes=np.zeros((4, 4), np.float32),
    )  # fmt: skip
    assert zero_shot_accuracy(encoder, image_cache) is None
    vectors = encoder.pooled(encoder.preprocessing.normalise(image_cache.pixels([0, 1])))
    encoder.text_features = nn.functional.normalize(vectors, dim=-1)
    assert zero_shot_accuracy(encoder, image_cache, batch=3) == 0.75
