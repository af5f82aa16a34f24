"""An F-CAM that was killed in any epoch and goes on ends in the bytes of one that ran through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from ala.config.schema import Fcam as Settings
from ala.data.store import Store
from ala.explainers.fcam import train_classifier, train_decoder, train_fcam
from ala.explainers.fcam.model import Trained
from ala.utils import interrupt
from ala.utils.errors import UserError, reported
from ala.utils.resume import Resumable

Toy = Callable[..., Store]
Make = Callable[..., Settings]
STAGES = {"classifier": train_classifier, "decoder": train_decoder}


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(autouse=True)
def _keep_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALA_KEEP_SECONDS", "0")
    monkeypatch.delenv("DVC_STAGE", raising=False)


@pytest.fixture
def options(settings: Make) -> Settings:
    """Three epochs of two steps each; the classifier's last epoch is not its best, so that `best` matters."""
    return settings(classifier__epochs=3, decoder__epochs=3, classifier__lr=0.4)


@pytest.fixture
def stores(toy: Toy) -> tuple[Store, Store]:
    return toy(12, 48, 0), toy(8, 48, 1, "val")


def run(stores: tuple[Store, Store], options: Settings, root: Path | None) -> Trained:
    work = Resumable.open("fcam", options.model_dump(mode="json"), root=root) if root is not None else None
    return train_fcam(*stores, options, seed=0, work=work)


def watch(patch: pytest.MonkeyPatch, stop: Callable[[str, int, int], bool] = lambda *place: False) -> list[Any]:
    """Kill the training before the step (stage, epoch, batch) that `stop` names; the list receives those done."""
    done: list[Any] = []
    for module in STAGES.values():
        real = module.descend

        def mortal(optimiser: Any, loss: Any, stage: str, batch: Any, *rest: Any, real: Any = real) -> float:
            if stop(stage, batch.epoch, batch.number):
                raise Killed
            done.append((stage, batch.epoch, batch.number))
            return real(optimiser, loss, stage, batch, *rest)

        patch.setattr(module, "descend", mortal)
    return done


def assert_same(found: Trained, expected: Trained) -> None:
    state, wanted = found.model.state_dict(), expected.model.state_dict()
    assert list(state) == list(wanted)
    assert [name for name in wanted if not torch.equal(state[name], wanted[name])] == []
    pd.testing.assert_frame_equal(found.classifier_curve, expected.classifier_curve, check_exact=True)
    pd.testing.assert_frame_equal(found.decoder_curve, expected.decoder_curve, check_exact=True)
    assert found.about == expected.about


ALL = [(stage, epoch, batch) for stage in STAGES for epoch in range(3) for batch in range(2)]


@pytest.mark.parametrize("place", [place for place in ALL if place[2] == 1], ids=str)
def test_it_goes_on_bit_by_bit(
    stores: tuple[Store, Store], options: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any
) -> None:
    unbroken = run(stores, options, None)
    assert unbroken.about["classifier"]["epoch"] < 2
    with monkeypatch.context() as patch:
        watch(patch, lambda *here: here == place)
        with pytest.raises(Killed):
            run(stores, options, tmp_path)
    torch.manual_seed(99)  # what other work left in the global generator
    done = watch(monkeypatch)
    assert_same(run(stores, options, tmp_path), unbroken)
    assert done == ALL[ALL.index(place) - 1 :]  # the epoch that was cut, and none before it


def test_a_finished_one_is_not_repeated_and_makes_no_features(
    stores: tuple[Store, Store], options: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(stores, options, tmp_path)
    monkeypatch.delattr(train_decoder, "FrozenFeatures")
    done = watch(monkeypatch)
    assert_same(run(stores, options, tmp_path), first)
    assert done == []


def test_other_settings_begin_anew(
    stores: tuple[Store, Store], options: Settings, settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        watch(patch, lambda stage, *_: stage == "decoder")
        with pytest.raises(Killed):
            run(stores, options, tmp_path)
    done = watch(monkeypatch)
    run(stores, settings(classifier__epochs=3, decoder__epochs=3, classifier__lr=0.3), tmp_path)
    assert done == ALL


def test_a_signal_ends_it_after_the_epoch(
    stores: tuple[Store, Store], options: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setenv("ALA_KEEP_SECONDS", "3600")
    with monkeypatch.context() as patch:

        def signalled(stage: str, epoch: int, batch: int) -> bool:
            if (stage, epoch) == ("decoder", 1):
                patch.setattr(interrupt, "_requested", True)
            return False

        watch(patch, signalled)
        with pytest.raises(SystemExit) as stop, reported():
            run(stores, options, tmp_path)
    assert stop.value.code == 130
    assert "stopped after epoch 2 of 3 of fcam, decoder" in capfd.readouterr().err
    done = watch(monkeypatch)
    run(stores, options, tmp_path)
    assert done == ALL[-2:]


class Poisoned(torch.autograd.Function):
    """Itself, with a gradient that is no number."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * float("nan")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("what", "spoil"), [("loss is nan", lambda loss: loss * float("nan")), ("gradients' norm is nan", Poisoned.apply)]
)
def test_a_number_that_is_none_stops_before_the_step_and_keeps_the_state(
    stores: tuple[Store, Store], options: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    stage: str, what: str, spoil: Any,
) -> None:  # fmt: skip
    module = STAGES[stage]
    with monkeypatch.context() as patch:
        real = module.descend

        def spoilt(optimiser: Any, loss: Any, stage: str, batch: Any, *rest: Any) -> float:
            bad = (batch.epoch, batch.number) == (1, 1)
            return real(optimiser, (lambda: (spoil(loss()[0]), {})) if bad else loss, stage, batch, *rest)

        patch.setattr(module, "descend", spoilt)
        with pytest.raises(UserError, match=rf"{stage}: the {what} in epoch 1, batch 1 \(photos \d+, .*lower fcam"):
            run(stores, options, tmp_path)
    done = watch(monkeypatch)
    assert_same(run(stores, options, tmp_path), run(stores, options, None))
    assert done[0] == (stage, 1, 0)


def test_a_validation_loss_that_is_no_number_stops(
    stores: tuple[Store, Store], options: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_classifier, "validate", lambda *_: {"val_loss": float("nan"), "val_accuracy": 0.5})
    with pytest.raises(UserError, match=r"validation loss is nan after epoch 0; lower fcam.classifier.lr \(now 0.4\)"):
        run(stores, options, None)
