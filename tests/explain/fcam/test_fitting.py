"""A device whose memory runs out while F-CAM trains: networks that refuse more than so many photos stand for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ala.config.schema import Fcam as Settings
from ala.data.store import Store
from ala.explain.fcam import optimise, train_fcam
from ala.explain.fcam.classifier import CamClassifier
from ala.explain.fcam.decoder import Decoder
from ala.explain.fcam.frozen import FrozenFeatures
from ala.explain.fcam.model import Trained
from ala.explain.fcam.train_classifier import validate
from ala.runtime.errors import UserError

Toy = Callable[..., Store]
Make = Callable[..., Settings]
#: The part of each network whose memory runs out.
STAGES = {"classifier": (CamClassifier, "forward"), "decoder": (Decoder, "forward")}


def limited(
    patch: pytest.MonkeyPatch, most: int, network: type[nn.Module], name: str, finish: bool = False
) -> list[int]:
    """`network` runs out of memory above `most` photos, or, with `finish`, after it has worked on them.

    Returns:
        How many photos each call was given.
    """
    seen: list[int] = []
    real = getattr(network, name)

    def stub(self: nn.Module, images: Any, *rest: Any) -> Any:
        count = len(images[0] if isinstance(images, list) else images)
        seen.append(count)
        answer = real(self, images, *rest) if finish or count <= most else None
        if count > most:
            torch.rand(3)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return answer

    patch.setattr(network, name, stub)
    return seen


@pytest.fixture
def run(toy: Toy) -> Callable[[Settings], Trained]:
    stores = toy(14, 48, 0), toy(8, 48, 1, "val")  # batches of 8 and 6
    return lambda options: train_fcam(*stores, options, seed=0)


@pytest.mark.parametrize("stage", STAGES)
def test_the_batch_is_halved_once_with_a_message(
    run: Any, settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    seen = limited(monkeypatch, 4, *STAGES[stage])
    trained = run(settings())
    assert capsys.readouterr().out.splitlines() == [
        "the device ran out of memory with 8 photos at once: from now on 4, the effective batch stays 8; BatchNorm sees"
        " each part by itself"
    ]
    assert seen == [8, 4, 4, 3, 3, 4, 4, 3, 3]
    assert trained.decoder_curve["epoch"].tolist() == [0, 1]


def test_parts_of_the_classifiers_batch_train_as_the_whole_does(
    run: Any, settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no BatchNorm looks across photos: the effective batch is unchanged."""
    options = settings(freeze_norms=True, classifier__epochs=3)
    whole = run(options).classifier_curve
    limited(monkeypatch, 4, *STAGES["classifier"])
    parts = run(options).classifier_curve
    for name in ("train_loss", "val_loss", "train_accuracy"):
        assert parts[name].tolist() == pytest.approx(whole[name].tolist(), rel=1e-4)


def test_parts_of_the_decoders_batch_train_as_the_whole_does(
    run: Any, settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Decoder, "train", lambda self, mode=True: nn.Module.train(self, False))  # BatchNorm rests
    options = settings(decoder__epochs=3, seeds__foreground=3)  # some seeds meet, so photos differ in their number
    whole = run(options).decoder_curve
    limited(monkeypatch, 4, *STAGES["decoder"])
    parts = run(options).decoder_curve
    for name in whole.columns:
        assert parts[name].tolist() == pytest.approx(whole[name].tolist(), rel=1e-4), name


@pytest.mark.parametrize("stage", STAGES)
def test_a_failed_attempt_leaves_nothing_behind(
    run: Any, settings: Make, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Neither in BatchNorm's statistics, which a pass moves before memory runs out, nor in what is drawn."""
    with monkeypatch.context() as patch:
        limited(patch, 4, *STAGES[stage], finish=True)
        halved = run(settings())
    real = optimise.Fitting

    def small(batch: int, least: int, **more: Any) -> Any:
        made = real(batch, least, **more)
        if least == 2 and stage in more["remedy"]:
            made.size = 4
        return made

    monkeypatch.setattr(optimise, "Fitting", small)
    began = run(settings())
    state, wanted = halved.model.state_dict(), began.model.state_dict()
    assert [name for name in wanted if not torch.equal(state[name], wanted[name])] == []


def test_validation_and_features_in_parts_are_the_same(
    toy: Toy, settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options, photos = settings(select="val_box_accuracy"), toy(12, 48, 0)
    classifier = CamClassifier(options, 4)
    whole, features = validate(classifier, photos, options), FrozenFeatures(classifier, photos, 48, 8)
    seen = limited(monkeypatch, 3, CamClassifier, "pyramid")
    assert validate(classifier, photos, options) == pytest.approx(whole, rel=1e-5)
    assert seen == [8, 4, 2, 2, 2, 2, 2, 2]
    again = FrozenFeatures(classifier, photos, 48, 8)
    assert again.cached
    torch.testing.assert_close(again._levels, features._levels)
    torch.testing.assert_close(again._cams, features._cams)
    assert "from now on 2, the effective batch stays 8\n" in capsys.readouterr().out


def test_features_without_room_are_computed_anew(
    toy: Toy, settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    classifier = CamClassifier(settings(), 4)
    monkeypatch.setattr(torch.Tensor, "new_empty", full)
    assert not FrozenFeatures(classifier, toy(4, 48, 0), 48, 8).cached
    assert "no room for F-CAM's frozen features" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stage", "message"), [("classifier", "fcam.classifier.batch"), ("decoder", "lower fcam.input_size")]
)
def test_a_device_that_cannot_hold_two_photos_is_refused(
    run: Any, settings: Make, monkeypatch: pytest.MonkeyPatch, stage: str, message: str
) -> None:
    limited(monkeypatch, 1, *STAGES[stage])
    with pytest.raises(UserError, match=rf"too little memory for 2 photos at once \(CUDA out of memory\).*{message}"):
        run(settings())
