from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from ala.contracts.preprocessing import Preprocessing
from ala.encoders import assert_frozen
from ala.encoders.conv import ConvEncoder, build_network, load_network
from ala.utils.errors import UserError

OPTIONS = {"pad_type": "same"}


def bilinear_reference(image: np.ndarray, side: int) -> np.ndarray:
    """(C, h, h) to (C, side, side), half-pixel centres, edges repeated."""
    h = image.shape[1]
    out = np.zeros((len(image), side, side))
    for r in range(side):
        for c in range(side):
            y = np.clip((r + 0.5) * h / side - 0.5, 0, h - 1)
            x = np.clip((c + 0.5) * h / side - 0.5, 0, h - 1)
            i, j = int(y), int(x)
            i2, j2, v, u = min(i + 1, h - 1), min(j + 1, h - 1), y - i, x - j
            top = image[:, i, j] * (1 - u) + image[:, i, j2] * u
            bottom = image[:, i2, j] * (1 - u) + image[:, i2, j2] * u
            out[:, r, c] = top * (1 - v) + bottom * v
    return out


def checkpoint(path, name, classes=3, seed=0, **options):
    """A state dict of the whole classifier with random weights, running statistics included."""
    torch.manual_seed(seed)
    model = timm.create_model(name, num_classes=classes, **options).eval()
    for key, tensor in model.state_dict().items():
        if key.endswith("running_mean"):
            tensor.normal_(std=0.1)
        elif key.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    save_file(model.state_dict(), path)
    return model


def encoder_of(path, name, size=64, grid=6, options=None):
    network = load_network(name, options or {}, load_file(path), path)
    return ConvEncoder(network, name, options or {}, Preprocessing.named(size, "half"), grid)


def test_taps_are_the_feature_maps_resized_to_the_grid(tmp_path):
    model = checkpoint(tmp_path / "w.safetensors", "test_resnet")
    encoder = encoder_of(tmp_path / "w.safetensors", "test_resnet")
    assert_frozen(encoder)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        maps = model.forward_intermediates(images, intermediates_only=True)
    taps = encoder.taps(images, list(encoder.tap_channels))
    assert encoder.n_taps == len(maps)
    for tap, channels in encoder.tap_channels.items():
        assert taps[tap].shape == (2, channels, 6, 6)
        np.testing.assert_allclose(taps[tap][1], bilinear_reference(maps[tap][1].numpy(), 6), atol=1e-4)
    torch.testing.assert_close(encoder.pooled(images), maps[-1].mean(dim=(2, 3)))
    assert encoder.text_features is None


def test_lifted_names_are_found(tmp_path):
    model = checkpoint(tmp_path / "w.safetensors", "test_convnext")
    encoder = encoder_of(tmp_path / "w.safetensors", "test_convnext")
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        maps = model.forward_intermediates(images, intermediates_only=True)
    torch.testing.assert_close(encoder.pooled(images), maps[-1].mean(dim=(2, 3)))


def test_half_precision_files_become_float32(tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoint(path, "test_resnet")
    save_file({key: x.half() if x.is_floating_point() else x for key, x in load_file(path).items()}, path)
    encoder = encoder_of(path, "test_resnet")
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
    checkpoint(path, "test_resnet")
    weights = load_file(path)
    change(weights)
    with pytest.raises(UserError, match=rf"w\.safetensors does not fit the timm model test_resnet: {message}"):
        load_network("test_resnet", {}, weights, path)


def test_weights_of_another_architecture_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoint(path, "test_convnext")
    with pytest.raises(UserError, match="does not fit the timm model test_resnet"):
        load_network("test_resnet", {}, load_file(path), path)


def test_unknown_models_and_options_are_refused():
    with pytest.raises(UserError, match=r"timm has no model 'resnet51'; near ones are resnet"):
        build_network("resnet51", {})
    with pytest.raises(UserError, match=r"encoder\.options: .*padding_kind"):
        build_network("test_resnet", {"padding_kind": "same"})


@pytest.mark.slow
def test_the_real_weights_load_and_padding_matters(shared_weights):
    path = shared_weights / "mobilenetv2_100_imagenet.safetensors"
    size, images = 224, torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    full = timm.create_model("mobilenetv2_100", num_classes=1001, **OPTIONS).eval()
    full.load_state_dict(load_file(path))
    with torch.no_grad():
        maps = full.forward_intermediates(images, intermediates_only=True)
    encoder = encoder_of(path, "mobilenetv2_100", size, 14, OPTIONS)
    assert encoder.tap_channels == {0: 16, 1: 24, 2: 32, 3: 96, 4: 320}
    taps = encoder.taps(images, [3, 4])
    torch.testing.assert_close(taps[3], maps[3], atol=1e-3, rtol=1e-3)  # 14 x 14 already
    np.testing.assert_allclose(taps[4][0], bilinear_reference(maps[4][0].numpy(), 14), atol=1e-3)
    elsewhere = encoder_of(path, "mobilenetv2_100", size, 14, {}).taps(images, [3])[3]
    assert (elsewhere - taps[3]).abs().mean() > 0.1


def test_the_real_weights_do_not_fit_another_network(shared_weights):
    path = shared_weights / "mobilenetv2_100_inat_insect.safetensors"
    with pytest.raises(
        UserError, match=r"mobilenetv2_100_inat_insect\.safetensors does not fit the timm model resnet10t"
    ):
        load_network("resnet10t", {}, load_file(path), path)
