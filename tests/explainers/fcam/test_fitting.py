"""A device whose memory runs out under F-CAM: training stops with one sentence, inference takes half the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ala.config.schema import Fcam as Settings
from ala.data.image_cache import ImageCache
from ala.explainers.fcam import train_fcam
from ala.explainers.fcam.classifier import CamClassifier
from ala.explainers.fcam.frozen import FrozenFeatures
from ala.explainers.fcam.model import Trained
from ala.explainers.fcam.train_classifier import validate
from ala.utils.errors import UserError
from tests.training.toys import fail_in_backward

Toy = Callable[..., ImageCache]
Make = Callable[..., Settings]
#: The number of the first step of each stage: two batches an epoch, two epochs of the classifier.
STAGES = {"classifier": 0, "decoder": 4}


@pytest.fixture
def run(toy: Toy) -> Callable[..., Trained]:
    image_caches = toy(14, 48, 0), toy(8, 48, 1, "val")  # batches of 8 and 6
    return lambda options, **more: train_fcam(*image_caches, options, seed=0, **more)


@pytest.mark.parametrize("stage", STAGES)
def test_training_stops_with_the_setting_and_a_number(
    run: Any, settings: Make, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    first = STAGES[stage]
    begun = fail_in_backward(monkeypatch, first + 1)
    with pytest.raises(UserError) as reported:
        run(settings())
    assert str(reported.value) == (
        "the device's memory does not hold a training step of batch 8 (CUDA out of memory); lower"
        f" fcam.{stage}.batch to 4"
    )
    assert begun == list(range(first + 2))  # the step is not tried again: BatchNorm has moved


def test_validation_and_features_in_parts_are_the_same(
    toy: Toy, settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options, image_source = settings(select="val_box_accuracy"), toy(12, 48, 0)
    classifier = CamClassifier(options, 4)
    whole, features = validate(classifier, image_source, options), FrozenFeatures(classifier, image_source, 48, 8)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    real, seen = CamClassifier.pyramid, list[int]()

    def stub(self: nn.Module, images: Any) -> Any:
        seen.append(len(images))
        if len(images) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(self, images)

    monkeypatch.setattr(CamClassifier, "pyramid", stub)
    assert validate(classifier, image_source, options) == pytest.approx(whole, rel=1e-5)
    assert seen == [8, 4, 2, 2, 2, 2, 2, 2]
    again = FrozenFeatures(classifier, image_source, 48, 8)
    assert again.cached
    torch.testing.assert_close(again._levels, features._levels)
    torch.testing.assert_close(again._cams, features._cams)
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert "out of memory with 4 images at a time, going on with 2\n" in capsys.readouterr().err


def test_features_without_room_are_computed_again(
    toy: Toy, settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    classifier = CamClassifier(settings(), 4)
    monkeypatch.setattr(torch.Tensor, "new_empty", full)
    assert not FrozenFeatures(classifier, toy(4, 48, 0), 48, 8).cached
    assert "no room for F-CAM's frozen features" in capsys.readouterr().out
