"""Backbone, strides, weights, CAM and boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ala.config.schema import Fcam as Settings
from ala.explainers.fcam.boxes import box_accuracy, box_iou, boxes_found, largest_box
from ala.explainers.fcam.cam import class_activation, min_max
from ala.explainers.fcam.classifier import CamClassifier
from ala.utils.errors import UserError

Make = Callable[..., Settings]


@pytest.mark.parametrize(
    ("backbone", "stride", "strides"),
    [
        ("test_resnet", 8, [2, 4, 8, 8, 8]),
        ("test_resnet", 4, [2, 4, 4, 4, 4]),
        ("test_resnet", 32, [2, 4, 8, 16, 32]),
        ("resnet18", 8, [2, 4, 8, 8, 8]),
        ("resnet50", 8, [2, 4, 8, 8, 8]),
    ],
)
def test_resnets_keep_their_grid_without_dilation(
    settings: Make, backbone: str, stride: int, strides: list[int]
) -> None:
    classifier = CamClassifier(settings(backbone=backbone, output_stride=stride, input_size=64), 3)
    assert classifier.strides == strides
    assert all(m.dilation == (1, 1) for m in classifier.modules() if isinstance(m, nn.Conv2d))
    with torch.no_grad():
        assert classifier(torch.randn(2, 3, 64, 64)).shape == (2, 3)


def test_other_networks_use_timms_output_stride(settings: Make) -> None:
    classifier = CamClassifier(settings(backbone="mobilenetv2_100", output_stride=16, input_size=64), 3)
    assert classifier.strides == [2, 4, 8, 16, 16]
    assert classifier.head.in_features == 1280
    assert classifier.channels[-1] == 320


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "test_resnett"}, "timm has no model 'test_resnett'"),
        ({"backbone": "vit_tiny_patch16_224"}, "choose another backbone"),
        ({"options": [("nonsense", 3)]}, r"one of fcam.options \{'nonsense': 3\}"),
        ({"backbone": "convnext_atto", "output_stride": 4}, "refuses output_stride 4"),
        ({"backbone": "mobilenetv3_small_050"}, "refuses output_stride"),
    ],
)
def test_impossible_networks_are_refused_in_a_sentence(settings: Make, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CamClassifier(settings(**changes), 3)


def test_a_file_that_is_missing_is_refused_in_a_sentence(settings: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.safetensors does not exist"):
        CamClassifier(settings(), 3, file=tmp_path / "absent.safetensors")


def test_a_file_takes_the_place_of_timms_source(settings: Make, tmp_path: Path) -> None:
    """No download is tried, which would fail here: timm has no weights of this network."""
    file = tmp_path / "weights.safetensors"
    state = weights_of(settings())
    save_file(state, file)
    classifier = CamClassifier(settings(pretrained=True), 3, file=file)
    assert torch.equal(classifier.backbone.state_dict()["conv1.0.weight"], state["conv1.0.weight"])


def test_a_stride_that_the_network_does_not_reach_is_refused(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ala.explainers.fcam.backbone.drop_strides", lambda network, output_stride: None)
    with pytest.raises(UserError, match="no output stride of 8; set it to 32 or"):
        CamClassifier(settings(input_size=64), 3)


def weights_of(settings: Settings) -> dict[str, torch.Tensor]:
    state = {
        key.removeprefix("backbone."): value.clone() for key, value in CamClassifier(settings, 3).state_dict().items()
    }
    del state["head.weight"], state["head.bias"]
    for key, value in state.items():
        if key.endswith("running_mean"):
            value.normal_()
    return state


def test_a_checkpoint_is_loaded_without_its_own_head(settings: Make, tmp_path: Path) -> None:
    state = weights_of(settings())
    file = tmp_path / "weights.safetensors"
    half = {key: value.half() if "conv" in key else value for key, value in state.items()}
    save_file(half | {"fc.weight": torch.zeros(7, 96), "fc.bias": torch.zeros(7)}, file)
    classifier = CamClassifier(settings(), 3, file=file)
    for key, value in classifier.backbone.state_dict().items():
        assert value.dtype == state[key].dtype
        assert torch.equal(value, half[key].to(value.dtype)), key


@pytest.mark.parametrize("kind", ["missing", "shape", "extra", "garbage", "pickle"])
def test_an_unfit_checkpoint_is_named_with_its_key(settings: Make, tmp_path: Path, kind: str) -> None:
    state = weights_of(settings())
    file = tmp_path / "weights.safetensors"
    if kind == "missing":
        del state["layer3.0.conv2.weight"]
    elif kind == "shape":
        state["layer3.0.conv2.weight"] = torch.zeros(1)
    elif kind == "extra":
        state["layer9.weight"] = torch.zeros(1)
    if kind == "garbage":
        file.write_bytes(b"no weights at all")
    elif kind == "pickle":
        file = tmp_path / "weights.pth"
        torch.save(nn.Linear(1, 1), file)  # a pickled object, which could run code
    else:
        save_file(state, file)
    with pytest.raises(UserError) as caught:
        CamClassifier(settings(), 3, file=file)
    assert str(file) in str(caught.value)
    key = {"missing": "layer3.0.conv2.weight", "shape": "layer3.0.conv2.weight", "extra": "layer9.weight"}.get(kind, "")
    assert key in str(caught.value)


def test_norms_without_statistics_must_be_frozen(settings: Make, tmp_path: Path) -> None:
    state = weights_of(settings())
    file = tmp_path / "folded.safetensors"
    save_file({key: value * 0 if key.endswith("running_mean") else value for key, value in state.items()}, file)
    with pytest.raises(UserError, match="freeze_norms to true"):
        CamClassifier(settings(), 3, file=file)
    classifier = CamClassifier(settings(freeze_norms=True), 3, file=file)
    classifier.train()
    classifier(torch.randn(4, 3, 48, 48)).sum().backward()
    norms = [m for m in classifier.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(not norm.training and not norm.running_mean.any() for norm in norms)
    assert all(norm.weight.grad is not None for norm in norms)
    assert classifier.training


def test_a_cam_is_the_weighted_sum_of_features() -> None:
    torch.manual_seed(0)
    features, weight = torch.randn(3, 5, 4, 4), torch.randn(7, 5)
    classes = torch.tensor([2, 0, 6])
    got = class_activation(features, weight, classes)
    for b, c in enumerate(classes.tolist()):
        slow = torch.zeros(4, 4)
        for k in range(5):
            slow += weight[c, k] * features[b, k]
        slow = (slow - slow.min()) / (slow.max() - slow.min())
        assert torch.allclose(got[b], slow, atol=1e-6)


def test_the_mean_of_the_raw_cam_is_the_logit(settings: Make) -> None:
    classifier = CamClassifier(settings(), 4).eval()
    images = torch.randn(2, 3, 48, 48)
    last = classifier.pyramid(images).last
    raw = torch.einsum("kc,bchw->bkhw", classifier.head.weight, last)
    assert torch.allclose(raw.mean((2, 3)) + classifier.head.bias, classifier(images), atol=1e-5)


def test_a_constant_cam_is_zero() -> None:
    assert not min_max(torch.full((2, 3, 3), 0.4)).any()


def test_late_parameters_are_the_last_stage_and_the_head(settings: Make) -> None:
    classifier = CamClassifier(settings(), 4)
    late = {id(p) for p in classifier.late_parameters()}
    names = {name for name, p in classifier.named_parameters() if id(p) in late}
    assert names == {n for n, _ in classifier.named_parameters() if n.startswith(("backbone.layer4.", "head."))}


def test_boxes_by_hand() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[1:3, 1:3] = True
    mask[3, 3] = True  # touches at a corner: the same region
    mask[6:, 5:] = True  # 6 pixels, the larger one
    assert largest_box(mask).tolist() == [5, 6, 3, 2]
    assert largest_box(np.zeros((4, 4), dtype=bool)).tolist() == [0, 0, 0, 0]
    assert box_iou(np.array([0, 0, 4, 4]), np.array([2, 0, 4, 4])) == pytest.approx(8 / 24)
    assert box_iou(np.array([0, 0, 1, 1]), np.array([5, 5, 1, 1])) == 0


def test_box_accuracy_uses_one_threshold_for_all() -> None:
    maps = np.zeros((2, 8, 8), dtype=np.float32)
    maps[0], maps[1] = 0.3, 0.3
    maps[0, 2:6, 2:6] = 1.0
    maps[1, :4, :4] = 0.5
    boxes = np.array([[2, 2, 4, 4], [0, 0, 4, 4]], dtype=np.float32)
    assert box_accuracy(boxes_found(maps, boxes)) == 1.0
    maps[1, :4, :4] = 0.2  # now the object is darker than its surroundings
    assert box_accuracy(boxes_found(maps, boxes)) == 0.5
