"""The training loop on a toy: what it keeps, how it goes on after a kill, how it stops, and AEA's off epochs."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ala.training.loop import Epoch, Task, phases, run_epoch, split, train
from ala.utils.checkpoint import Checkpoint
from ala.utils.errors import UserError
from tests.training.settings import Schedule
from tests.training.toys import BATCH, EPOCHS, Killed, N, bytes_of, epochs_of, fail_in_backward, toy_task, watch


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint.of("toy", {}, root=tmp_path)


# --- the schedule ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "pattern"),
    [
        (Schedule(), "-+-+-+-"),  # epoch 0 is off, then strictly alternating (METHODS 2.6)
        (Schedule(first="on"), "+-+-+-+"),
        (Schedule(off_epochs=2, on_epochs=1), "--+--+-"),
        (Schedule(off_epochs=1, on_epochs=2), "-++-++-"),
        (Schedule(off_epochs=2, on_epochs=3, first="on"), "+++--++"),
    ],
)
def test_patterns(schedule: Any, pattern: str) -> None:
    plan = phases(7, schedule, aea=True)
    assert "".join("+" if epoch.on else "-" for epoch in plan) == pattern
    assert [epoch.index for epoch in plan] == list(range(7))
    assert [epoch.phase for epoch in plan] == ["on" if sign == "+" else "off" for sign in pattern]
    assert all(epoch.on for epoch in phases(7, schedule, aea=False))


def test_a_plan_without_on_epoch_is_refused() -> None:
    with pytest.raises(UserError, match=r"train.epochs \(2\) ends before AEA's first on epoch; give at least 3 epochs"):
        phases(2, Schedule(off_epochs=2), aea=True)


def test_an_off_epoch_leaves_the_resting_part_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in eval mode, has no gradient when the norm is taken, and keeps weights, buffers, momentum."""
    task, seen = toy_task(), []
    other, resting = task.parts
    clip = torch.nn.utils.clip_grad_norm_

    def spy(parameters: Any, norm: float) -> Any:
        grads = [[p.grad is not None for p in part.modules[0].parameters()] for part in task.parts]
        seen.append(([part.modules[0].training for part in task.parts], *map(all, grads), any(grads[1])))
        return clip(parameters, norm)

    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", spy)
    run_epoch(task, Epoch(0, on=True))
    before = bytes_of(resting.modules[0]), copy.deepcopy(resting.optimiser.state_dict()["state"])
    assert all(entry["momentum_buffer"].any() for entry in before[1].values())
    moving = bytes_of(other.modules[0])
    run_epoch(task, Epoch(1, on=False))
    assert seen == [([True, True], True, True, True)] * 3 + [([True, False], True, False, False)] * 3
    assert bytes_of(resting.modules[0]) == before[0]
    torch.testing.assert_close(resting.optimiser.state_dict()["state"], before[1], rtol=0, atol=0)
    assert bytes_of(other.modules[0]) != moving
    assert all(p.grad is None for p in task.network.parameters())  # nothing is carried into the next epoch


def test_batches_and_their_learning_rates() -> None:
    rates = []
    task = toy_task(factor=lambda epoch, number, count: rates.append((epoch, number, count)) or 0.5)
    assert run_epoch(task, Epoch(2))["lr"] == 0.15
    assert rates == [(2, 0, 3), (2, 1, 3), (2, 2, 3)]
    assert {group["lr"] for part in task.parts for group in part.optimiser.param_groups} == {0.15}


def test_a_single_image_left_over_joins_the_last_batch() -> None:
    assert [len(part) for part in split(np.arange(10), 4)] == [4, 4, 2]
    assert [len(part) for part in split(np.arange(9), 4)] == [4, 5]
    assert [len(part) for part in split(np.arange(8), 4)] == [4, 4]
    assert [len(part) for part in split(np.arange(3), 4)] == [3]
    assert np.concatenate(split(np.arange(9), 4)).tolist() == list(range(9))


# --- what is kept ----------------------------------------------------------------------------------------------------


def scored(losses: list[float], **changes: Any) -> tuple[Task, Any]:
    """A training whose on epochs have these validation losses."""
    left = iter(losses)
    task = toy_task(validate=lambda row: {"val_loss": next(left)}, **changes)
    return task, train(task)


def test_the_best_on_epoch_is_kept_the_first_of_equals() -> None:
    task, course = scored([2.0, 1.0, 1.0], epochs=[Epoch(i, i % 2 == 1) for i in range(7)])
    assert course.kept == 3
    assert [row.get("val_loss") for row in course.curve] == [None, 2.0, None, 1.0, None, 1.0, None]
    assert not any(module.training for module in task.network.modules())
    same, _ = scored([2.0, 1.0], epochs=[Epoch(i, i % 2 == 1) for i in range(4)])
    assert bytes_of(task.network) == bytes_of(same.network)


def test_without_a_score_the_last_epoch_is_kept() -> None:
    _, course = scored([1.0, 2.0], score=None)
    assert course.kept == EPOCHS - 1


def test_patience_counts_scored_epochs() -> None:
    _, course = scored(
        [3.0, 3.5, 2.0, 2.5, 2.1, 2.0, 1.0], epochs=[Epoch(i, i % 2 == 1) for i in range(20)], patience=3
    )
    # Epochs 1, 3, 5 ... are scored. Epoch 5 is a new best and the count starts again; an equal loss is no better one.
    assert (course.kept, len(course.curve)) == (5, 12)


# --- kills -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("killed", [(epoch, batch) for epoch in range(EPOCHS) for batch in (0, 2)])
def test_a_killed_training_ends_in_the_same_bytes(
    killed: tuple[int, int], checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = toy_task()
    course = train(unbroken)
    with monkeypatch.context() as patch:
        watch(patch, lambda setting, *place: place == killed)
        with pytest.raises(Killed):
            train(toy_task(), checkpoint)
    torch.manual_seed(99)  # what other work left in the global generator
    begun, again = watch(monkeypatch), toy_task()
    assert train(again, checkpoint) == course
    assert epochs_of(begun) == list(range(killed[0], EPOCHS))  # the epoch that was cut, and none before it
    assert bytes_of(again.network) == bytes_of(unbroken.network)


def test_a_finished_training_is_not_repeated(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again, prepared = toy_task(patience=1), toy_task(), []
    course = train(first, checkpoint)
    small = checkpoint.file.stat().st_size
    begun = watch(monkeypatch)
    again = toy_task(prepare=lambda: prepared.append(1))
    assert train(again, checkpoint) == course
    assert begun == prepared == []
    assert bytes_of(again.network) == bytes_of(first.network)
    assert "optimisers" not in checkpoint.load()
    assert small == checkpoint.file.stat().st_size


def test_a_forced_run_of_dvc_trains_again(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    train(toy_task(), checkpoint)
    begun, finished = watch(monkeypatch), checkpoint.file.stat().st_mtime_ns
    (tmp_path / "dvc.lock").touch()
    os.utime(tmp_path / "dvc.lock", ns=(1, finished - 1))  # of the stages before: DVC was killed before it wrote
    train(toy_task(), checkpoint)
    assert begun == []
    os.utime(tmp_path / "dvc.lock", ns=(1, finished + 1))
    train(toy_task(), checkpoint)
    assert epochs_of(begun) == list(range(EPOCHS))


def test_a_damaged_checkpoint_begins_again(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    unbroken = toy_task()
    train(unbroken, checkpoint)
    checkpoint.file.write_bytes(checkpoint.file.read_bytes()[:-1])
    begun, again = watch(monkeypatch), toy_task()
    train(again, checkpoint)
    assert len(begun) == 3 * EPOCHS
    assert bytes_of(again.network) == bytes_of(unbroken.network)
    assert "is damaged, the training begins again" in capsys.readouterr().err


# --- what stops it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [3, 5, 10])  # of three steps an epoch, in off and on epochs
def test_too_little_memory_is_one_sentence_and_leaves_no_trace(
    step: int, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in weights nor in BatchNorm's buffers: the state of the last epoch stays, and the rest is done again."""
    unbroken, again = toy_task(), toy_task()
    train(unbroken)
    with monkeypatch.context() as patch:
        begun = fail_in_backward(patch, step)
        with pytest.raises(UserError) as reported:
            train(toy_task(), checkpoint)
    assert str(reported.value) == (
        "the device's memory does not hold a training step of batch 4 (CUDA out of memory); lower train.batch to 2"
    )
    assert begun == list(range(step + 1))  # the step is not tried again: BatchNorm has moved
    train(again, checkpoint)
    assert bytes_of(again.network) == bytes_of(unbroken.network)


def test_a_batch_that_cannot_be_halved_needs_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_in_backward(monkeypatch, 0)
    with pytest.raises(UserError, match=r"step of batch 3 \(.*\); use a device with more memory$"):
        train(toy_task(batch=3))


class Poisoned(torch.autograd.Function):
    """Identity in the forward pass whose gradient is NaN."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * float("nan")


@pytest.mark.parametrize("clip_norm", [1.0, None])
@pytest.mark.parametrize(
    ("what", "spoil"), [("loss is inf", lambda loss: loss * float("inf")), ("gradients' norm is nan", Poisoned.apply)]
)
def test_a_number_that_is_none_stops_before_the_step(
    what: str, spoil: Any, clip_norm: float | None, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, calls = toy_task(clip_norm=clip_norm), []

    def loss(indices: np.ndarray, epoch: Epoch) -> Any:
        calls.append(bytes_of(task.parts[0].modules[0]))
        value, numbers = task.loss(indices, epoch)
        return (spoil(value) if len(calls) == 5 else value), numbers

    from dataclasses import replace

    message = rf"toy: the {what} in epoch 1, batch 1 \(images 1\d\d(, 1\d\d){{3}}\); lower train.lr \(now 0.3\) or look"
    with pytest.raises(UserError, match=message):
        train(replace(task, loss=loss), checkpoint)
    assert bytes_of(task.parts[0].modules[0]) == calls[-1]
    begun, again, unbroken = watch(monkeypatch), toy_task(clip_norm=clip_norm), toy_task(clip_norm=clip_norm)
    train(again, checkpoint)
    assert begun[0] == ("train", 1, 0)
    train(unbroken)
    assert bytes_of(again.network) == bytes_of(unbroken.network)


def test_a_validation_loss_that_is_no_number_stops() -> None:
    with pytest.raises(UserError, match=r"toy: the validation loss is nan after epoch 1; lower train.lr \(now 0.3\)"):
        scored([float("nan")])


def test_means_are_over_all_images() -> None:
    sizes: list[int] = []
    task = toy_task(loss=lambda indices, epoch: sizes.append(len(indices)) or (parameter.sum() * 0 + 2.0, {"x": 1.0}))
    parameter = next(task.network.parameters())
    row = run_epoch(task, Epoch(0))
    assert sizes == [BATCH, BATCH, N - 2 * BATCH]
    assert row["train_loss"] == 2.0
    assert row["x"] == 3 / N
