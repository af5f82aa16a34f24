"""A pre-training that was killed in any epoch and goes on ends in the bytes of one that ran through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import ala.encoders.pretrain
from ala.config.schema import Pretrain
from ala.contracts.preprocessing import Preprocessing
from ala.encoders.pretrain import pretrain
from ala.utils import interrupt
from ala.utils.errors import UserError, reported
from ala.utils.resume import Resumable
from tests.encoders.test_pretrain import pairs

N, BATCH, EPOCHS = 20, 8, 3  # three steps an epoch, the last one shorter


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(autouse=True)
def _keep_every_epoch(monkeypatch):
    monkeypatch.setenv("ALA_KEEP_SECONDS", "0")
    monkeypatch.delenv("DVC_STAGE", raising=False)


def run(config: dict[str, Any], root: Path | None, lr: float = 3e-3) -> dict[str, torch.Tensor]:
    settings = Pretrain(pairs=N, epochs=EPOCHS, batch=BATCH, lr=lr, weight_decay=0.05, seed=0)
    work = Resumable.open("encoder", settings.model_dump(), root=root) if root is not None else None
    size = Preprocessing.named(16, "clip")
    return pretrain(config, size, settings, *pairs(N), more_texts=["a"], work=work)[0].state_dict()


def count_steps(patch: pytest.MonkeyPatch, last: int | None = None) -> list[int]:
    """Kill the training in the step after number `last`; the list receives the size of each batch."""
    begun, real = [], ala.encoders.pretrain.augment

    def mortal(pixels, generator):
        begun.append(len(pixels))
        if last is not None and len(begun) > last:
            raise Killed
        return real(pixels, generator)

    patch.setattr(ala.encoders.pretrain, "augment", mortal)
    return begun


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


@pytest.mark.parametrize(("killed", "left"), [(2, 9), (3, 6), (4, 6), (8, 3)])
def test_it_goes_on_bit_by_bit(tiny_config, tmp_path, monkeypatch, killed, left):
    unbroken = run(tiny_config, None)
    with monkeypatch.context() as patch:
        count_steps(patch, killed)
        with pytest.raises(Killed):
            run(tiny_config, tmp_path)
    torch.manual_seed(99)  # what other work left in the global generator
    begun = count_steps(monkeypatch)
    again = run(tiny_config, tmp_path)
    assert begun == [8, 8, 4] * (left // 3)  # the epoch that was cut, and none before it
    assert_same(again, unbroken)


def test_a_finished_one_is_not_repeated(tiny_config, tmp_path, monkeypatch):
    first = run(tiny_config, tmp_path)
    begun = count_steps(monkeypatch)
    assert_same(run(tiny_config, tmp_path), first)
    assert begun == []


def test_other_settings_begin_anew(tiny_config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        count_steps(patch, 7)
        with pytest.raises(Killed):
            run(tiny_config, tmp_path)
    begun = count_steps(monkeypatch)
    run(tiny_config, tmp_path, lr=1e-3)
    assert len(begun) == 9


def test_a_signal_ends_it_after_the_epoch(tiny_config, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("ALA_KEEP_SECONDS", "3600")
    with monkeypatch.context() as patch:
        patch.setattr(interrupt, "begin", lambda: patch.setattr(interrupt, "_requested", True))
        with pytest.raises(SystemExit) as stop, reported():
            run(tiny_config, tmp_path)
    assert stop.value.code == 130
    assert "stopped after epoch 1 of 3" in capfd.readouterr().err
    monkeypatch.setattr(interrupt, "_requested", False)
    begun = count_steps(monkeypatch)
    assert_same(run(tiny_config, tmp_path), run(tiny_config, None))
    assert len(begun) == 6 + 9


class Poisoned(torch.autograd.Function):
    """Itself, with a gradient that is no number."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("nan")


@pytest.mark.parametrize(
    ("what", "spoil"), [("loss is inf", lambda loss: loss * float("inf")), ("gradients' norm is nan", Poisoned.apply)]
)
def test_a_number_that_is_none_stops_with_its_place_and_keeps_the_state(
    tiny_config, tmp_path, monkeypatch, what, spoil
):
    real, calls = ala.encoders.pretrain.contrastive_loss, []

    def loss(*args):
        calls.append(1)
        return spoil(real(*args)) if len(calls) == 5 else real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(ala.encoders.pretrain, "contrastive_loss", loss)
        message = (
            rf"the {what} in epoch 1, batch 1 \(drawings \d+(, \d+){{7}}\); lower encoder.pretrain.lr \(now 0.003\)"
        )
        with pytest.raises(UserError, match=message):
            run(tiny_config, tmp_path)
    begun = count_steps(monkeypatch)
    assert_same(run(tiny_config, tmp_path), run(tiny_config, None))
    assert len(begun) == 6 + 9
