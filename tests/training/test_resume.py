"""A training that was killed after any epoch and goes on ends in the bytes of one that ran through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ala.config.schema import Lora
from ala.training import loop
from ala.training.loop import Trained, train_variant
from ala.utils import interrupt
from ala.utils.errors import UserError, reported
from ala.utils.resume import Resumable

FULL = "aea-true-sbn-true"


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(autouse=True)
def _keep_every_epoch(monkeypatch):
    monkeypatch.setenv("ALA_KEEP_SECONDS", "0")
    monkeypatch.delenv("DVC_STAGE", raising=False)


def run(variant: str, profile: Any, encoder: Any, train: Any, val: Any, root: Path | None) -> Trained:
    settings = {"variant": variant, **profile.model_dump(mode="json", include={"ala", "abn", "train"})}
    work = Resumable.open("t", settings, root=root) if root is not None else None
    return train_variant(variant, profile, encoder, train, val, 3, 0, log=lambda line: None, work=work)


def dies_in(epoch: int, patch: pytest.MonkeyPatch) -> list[int]:
    """Kill the training in the middle of `epoch`; the list receives the epochs that begin."""
    begun, real = [], loop.run_epoch

    def mortal(*args: Any) -> Any:
        begun.append(args[3].index)
        answer = real(*args)
        if args[3].index == epoch:
            raise Killed
        return answer

    patch.setattr(loop, "run_epoch", mortal)
    return begun


def bytes_of(trained: Trained) -> list[tuple[str, bytes]]:
    return [(name, tensor.numpy().tobytes()) for name, tensor in trained.model.adapter.state_dict().items()]


@pytest.mark.parametrize("epoch", range(4))
@pytest.mark.parametrize("variant", [FULL, "abn", "lora", "bf16"])
def test_it_goes_on_bit_by_bit(variant, epoch, profile, encoder, clip_vit, train, val, tmp_path, monkeypatch):
    if variant == "lora":
        encoder, variant = clip_vit, FULL
        ala = profile.ala.model_copy(update={"lora": Lora(block=1, rank=2, alpha=4.0)})
        sbn = ala.sbn.model_copy(update={"fusion_map": [(0, 0), (1, 1)]})
        perception = ala.perception.model_copy(update={"feature_layer": 2})
        profile = profile.model_copy(update={"ala": ala.model_copy(update={"sbn": sbn, "perception": perception})})
    if variant == "bf16":
        variant = FULL
        profile = profile.model_copy(update={"train": profile.train.model_copy(update={"precision": "bf16"})})
    unbroken = run(variant, profile, encoder, train, val, None)
    with monkeypatch.context() as patch:
        dies_in(epoch, patch)
        with pytest.raises(Killed):
            run(variant, profile, encoder, train, val, tmp_path)
    torch.manual_seed(99)  # what other work left in the global generator
    with monkeypatch.context() as patch:
        begun = dies_in(-1, patch)
        again = run(variant, profile, encoder, train, val, tmp_path)
    assert begun == list(range(epoch, 4))  # the epoch that was cut, and none before it
    assert bytes_of(again) == bytes_of(unbroken)
    assert again.curve == unbroken.curve
    assert again.epoch == unbroken.epoch


def test_a_finished_training_is_not_repeated_and_needs_no_photos(profile, encoder, train, val, tmp_path, monkeypatch):
    first = run(FULL, profile, encoder, train, val, tmp_path)
    encoder.encoded = 0
    begun = dies_in(-1, monkeypatch)
    again = run(FULL, profile, encoder, train, val, tmp_path)
    assert begun == []
    assert encoder.encoded == 0
    assert bytes_of(again) == bytes_of(first)


def test_patience_that_ended_a_training_is_remembered(profile, encoder, train, val, tmp_path, monkeypatch):
    settings = profile.train.model_copy(update={"patience": 1, "lr": 0.5, "epochs": 8})
    profile = profile.model_copy(update={"train": settings})
    first = run("abn", profile, encoder, train, val, tmp_path)
    assert len(first.curve) < 8
    assert dies_in(-1, monkeypatch) == []
    assert run("abn", profile, encoder, train, val, tmp_path).curve == first.curve


def test_other_settings_begin_anew(profile, encoder, train, val, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        dies_in(2, patch)
        with pytest.raises(Killed):
            run(FULL, profile, encoder, train, val, tmp_path)
    begun = dies_in(-1, monkeypatch)
    changed = profile.model_copy(update={"train": profile.train.model_copy(update={"lr": 1e-3})})
    run(FULL, changed, encoder, train, val, tmp_path)
    assert begun == [0, 1, 2, 3]


def test_a_signal_ends_it_after_the_epoch(profile, encoder, train, val, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("ALA_KEEP_SECONDS", "3600")
    real = loop.run_epoch

    def signalled(*args: Any) -> Any:
        if args[3].index == 1:
            monkeypatch.setattr(interrupt, "_requested", True)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_epoch", signalled)
        with pytest.raises(SystemExit) as stop, reported():
            run(FULL, profile, encoder, train, val, tmp_path)
    assert stop.value.code == 130
    assert "stopped after epoch 2 of 4" in capfd.readouterr().err
    begun = dies_in(-1, monkeypatch)
    monkeypatch.setattr(interrupt, "_requested", False)
    run(FULL, profile, encoder, train, val, tmp_path)
    assert begun == [2, 3]


def test_a_gradient_that_is_no_number_stops_with_the_photos(profile, encoder, train, val, monkeypatch):
    class Poisoned(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * float("nan")

    real = loop.objective
    monkeypatch.setattr(loop, "objective", lambda *args: Poisoned.apply(real(*args)))
    for clip in (1.0, None):
        settings = profile.train.model_copy(update={"clip_norm": clip})
        with pytest.raises(UserError, match=r"gradients' norm is nan in epoch 0, batch 0 \(images 1.*lower train.lr"):
            run(FULL, profile.model_copy(update={"train": settings}), encoder, train, val, None)
