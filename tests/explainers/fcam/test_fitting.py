"""A device whose memory runs out under F-CAM: training stops with one sentence, inference takes half the batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ala.config.schema import Fcam as Settings
from ala.data.store import Store
from ala.explainers.fcam import train_fcam
from ala.explainers.fcam.classifier import CamClassifier
from ala.explainers.fcam.frozen import FrozenFeatures
from ala.explainers.fcam.model import Trained
from ala.explainers.fcam.train_classifier import validate
from ala.utils.errors import UserError
from ala.utils.resume import Resumable

Toy = Callable[..., Store]
Make = Callable[..., Settings]
#: The number of the first step of each stage: two batches an epoch, two epochs of the classifier.
STAGES = {"classifier": 0, "decoder": 4}


def fail_in_backward(patch: pytest.MonkeyPatch, step: int) -> list[int]:
    """Memory runs out in the backward pass of step number `step`; the numbers of the steps that were begun."""
    begun: list[int] = []
    real = torch.Tensor.backward

    def stub(self: torch.Tensor, *args: Any, **options: Any) -> None:
        begun.append(len(begun))
        if len(begun) - 1 == step:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        real(self, *args, **options)

    patch.setattr(torch.Tensor, "backward", stub)
    return begun


@pytest.fixture
def run(toy: Toy) -> Callable[..., Trained]:
    stores = toy(14, 48, 0), toy(8, 48, 1, "val")  # batches of 8 and 6
    return lambda options, **more: train_fcam(*stores, options, seed=0, **more)


@pytest.mark.parametrize("stage", STAGES)
def test_training_stops_with_the_setting_and_a_number(
    run: Any, settings: Make, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    first = STAGES[stage]
    begun = fail_in_backward(monkeypatch, first + 1)
    with pytest.raises(UserError) as told:
        run(settings())
    assert str(told.value) == (
        "the device's memory does not hold a training step of batch 8 (CUDA out of memory); lower"
        f" fcam.{stage}.batch to 4"
    )
    assert begun == list(range(first + 2))  # the step is not tried again: BatchNorm has moved


@pytest.mark.parametrize("stage", STAGES)
def test_what_failed_leaves_no_trace_in_a_run_that_goes_on(
    run: Any, settings: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stage: str
) -> None:
    """Neither in weights nor in BatchNorm's buffers: the state of the last epoch stays, and the rest is done again."""
    monkeypatch.setenv("ALA_KEEP_SECONDS", "0")
    first = STAGES[stage]
    expected = run(settings()).model.state_dict()
    assert any("running_mean" in name for name in expected)

    def work() -> Resumable:
        return Resumable.open("fcam", {}, root=tmp_path)

    with monkeypatch.context() as patch:
        fail_in_backward(patch, first + 3)  # the second epoch's second batch
        with pytest.raises(UserError, match=rf"lower fcam\.{stage}\.batch to 4"):
            run(settings(), work=work())
    with monkeypatch.context() as patch:
        begun = fail_in_backward(patch, -1)
        found = run(settings(), work=work()).model.state_dict()
    assert len(begun) == 8 - (first + 2)
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def test_validation_and_features_in_parts_are_the_same(
    toy: Toy, settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options, photos = settings(select="val_box_accuracy"), toy(12, 48, 0)
    classifier = CamClassifier(options, 4)
    whole, features = validate(classifier, photos, options), FrozenFeatures(classifier, photos, 48, 8)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    real, seen = CamClassifier.pyramid, list[int]()

    def stub(self: nn.Module, images: Any) -> Any:
        seen.append(len(images))
        if len(images) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(self, images)

    monkeypatch.setattr(CamClassifier, "pyramid", stub)
    assert validate(classifier, photos, options) == pytest.approx(whole, rel=1e-5)
    assert seen == [8, 4, 2, 2, 2, 2, 2, 2]
    again = FrozenFeatures(classifier, photos, 48, 8)
    assert again.cached
    torch.testing.assert_close(again._levels, features._levels)
    torch.testing.assert_close(again._cams, features._cams)
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert "out of memory with 4 images at a time, going on with 2\n" in capsys.readouterr().err


def test_features_without_room_are_computed_anew(
    toy: Toy, settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    classifier = CamClassifier(settings(), 4)
    monkeypatch.setattr(torch.Tensor, "new_empty", full)
    assert not FrozenFeatures(classifier, toy(4, 48, 0), 48, 8).cached
    assert "no room for F-CAM's frozen features" in capsys.readouterr().out
