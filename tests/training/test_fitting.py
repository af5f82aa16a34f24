"""A device whose memory runs out: training stops with one sentence, inference goes on with half the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ala.model.adapter import Adapter
from ala.training.features import CachedSource
from ala.training.loop import Trained, train_variant, validate
from ala.utils.errors import UserError
from ala.utils.resume import Resumable

FULL = "aea-true-sbn-true"
CPU = torch.device("cpu")
OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB."


def trained(profile: Any, encoder: Any, train: Any, val: Any, **options: Any) -> Trained:
    return train_variant(FULL, profile, encoder, train, val, 3, 0, log=lambda line: None, **options)


def fail_in_backward(patch: pytest.MonkeyPatch, step: int) -> list[int]:
    """Memory runs out in the backward pass of step number `step`, after the forward pass moved BatchNorm.

    Returns:
        The numbers of the steps whose backward pass was begun.
    """
    begun: list[int] = []
    real = torch.Tensor.backward

    def stub(self: torch.Tensor, *args: Any, **options: Any) -> None:
        begun.append(len(begun))
        if len(begun) - 1 == step:
            raise torch.OutOfMemoryError(OUT_OF_MEMORY)
        real(self, *args, **options)

    patch.setattr(torch.Tensor, "backward", stub)
    return begun


def state_of(one: Trained) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in one.model.adapter.state_dict().items()}


def test_training_stops_with_the_setting_and_a_number(
    profile: Any, encoder: Any, train: Any, val: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = fail_in_backward(monkeypatch, 2)
    with pytest.raises(UserError) as told:
        trained(profile, encoder, train, val)
    assert str(told.value) == (
        "the device's memory does not hold a training step of batch 16 (CUDA out of memory); lower train.batch to 8"
    )
    assert begun == [0, 1, 2]  # the step is not tried again: BatchNorm has moved


def test_a_batch_that_cannot_be_halved_needs_another_device(
    profile: Any, encoder: Any, train: Any, val: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = profile.model_copy(update={"train": profile.train.model_copy(update={"batch": 3})})
    fail_in_backward(monkeypatch, 0)
    with pytest.raises(UserError, match=r"step of batch 3 \(.*\); use a device with more memory$"):
        trained(small, encoder, train, val)


@pytest.mark.parametrize("step", [4, 5, 11])  # of three steps an epoch, in off and on epochs
def test_what_failed_leaves_no_trace_in_a_run_that_goes_on(
    profile: Any, encoder: Any, train: Any, val: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: int
) -> None:
    """Neither in weights nor in BatchNorm's buffers: the state of the last epoch stays, and the rest is done again."""
    monkeypatch.setenv("ALA_KEEP_SECONDS", "0")
    expected = trained(profile, encoder, train, val)
    assert any("running_mean" in name for name in state_of(expected))

    def work() -> Resumable:
        return Resumable.open("train", {}, root=tmp_path)

    with monkeypatch.context() as patch:
        fail_in_backward(patch, step)
        with pytest.raises(UserError, match=r"lower train\.batch to 8"):
            trained(profile, encoder, train, val, work=work())
    with monkeypatch.context() as patch:
        begun = fail_in_backward(patch, -1)
        found = trained(profile, encoder, train, val, work=work())
    assert len(begun) == 12 - step // 3 * 3  # epochs that were finished are not trained again
    assert state_of(found) == state_of(expected)
    assert found.curve == expected.curve


def limited(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Every adapter runs out of memory above `most` photos; how many photos each pass was given."""
    forward, seen = Adapter.forward, list[int]()

    def stub(self: Adapter, images: Any, *rest: Any) -> Any:
        seen.append(len(images))
        if len(images) > most:
            raise torch.OutOfMemoryError(OUT_OF_MEMORY)
        return forward(self, images, *rest)

    monkeypatch.setattr(Adapter, "forward", stub)
    return seen


def test_validation_in_parts_gives_the_same_numbers(
    profile: Any, encoder: Any, train: Any, val: Any, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model = trained(profile, encoder, train, val).model
    source = CachedSource(encoder, val, [0, 1, 3], 0.0, CPU)
    whole, before = validate(model.adapter, source), {k: v.clone() for k, v in model.state_dict().items()}
    seen = limited(monkeypatch, 5)
    parts = validate(model.adapter, source)
    assert seen == [18, 9, 4, 4, 4, 4, 2]
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    assert (parts.accuracy_pb, parts.accuracy_pb_plus_ab) == (whole.accuracy_pb, whole.accuracy_pb_plus_ab)
    np.testing.assert_allclose(parts.alpha, whole.alpha, atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert "out of memory with 9 images at a time, going on with 4" in capsys.readouterr().err
