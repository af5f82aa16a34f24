"""Train a network: the one loop for ALA's variants, ABN, F-CAM's two networks and the miniature's CLIP.

:func:`train` goes from the first epoch to the kept one, :func:`run_epoch` once through the images. What differs between
networks (order of images, loss, validation) is in a :class:`Task`. The Alternating Epoch Architect (METHODS 2.6) is
:func:`phases`, which lists the *off* epochs, and the first lines of :func:`run_epoch`, which let parts rest in them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ala.config.schema import Schedule
from ala.utils.checkpoint import Checkpoint
from ala.utils.errors import UserError
from ala.utils.finite import named
from ala.utils.fitting import training_step
from ala.utils.progress import Advance, progress
from ala.utils.seeds import seed_everything

#: What the curve says of an epoch: `epoch`, `phase`, `lr`, means over its images, and results of the validation.
Row = dict[str, Any]


@dataclass(frozen=True)
class Epoch:
    """Epoch `index` (from 0). *On*: everything trains. *Off*: SBN and AB rest, alpha is 1, only PB trains."""

    index: int
    on: bool = True

    @property
    def phase(self) -> str:
        """`on` or `off`."""
        return "on" if self.on else "off"


def phases(epochs: int, schedule: Schedule, aea: bool) -> list[Epoch]:
    """List `epochs` epochs of AEA's repeating pattern; without AEA every epoch is on.

    >>> [epoch.phase for epoch in phases(4, Schedule(off_epochs=1, on_epochs=1, first="off"), aea=True)]
    ['off', 'on', 'off', 'on']

    Raises:
        UserError: no epoch would be on, so that nothing could be validated.
    """
    if not aea:
        return [Epoch(index) for index in range(epochs)]
    pattern = [False] * schedule.off_epochs + [True] * schedule.on_epochs
    if schedule.first == "on":
        pattern.reverse()
    plan = [Epoch(index, pattern[index % len(pattern)]) for index in range(epochs)]
    if not any(epoch.on for epoch in plan):
        raise UserError(
            f"train.epochs ({epochs}) ends before AEA's first on epoch; give at least {schedule.off_epochs + 1} epochs"
        )
    return plan


class Part(NamedTuple):
    """A part of a network that has an optimiser of its own.

    Attributes:
        optimiser: of its parameters; the learning rate of each group is multiplied by the task's `factor`.
        modules: are in training mode while the part trains, else in eval mode.
        rests: in off epochs the loss does not call the part, and it gets no gradient and no step.
    """

    optimiser: torch.optim.Optimizer
    modules: Sequence[nn.Module]
    rests: bool = False


@dataclass(frozen=True)
class Task:
    """A network, and how it is trained.

    Attributes:
        name: for the progress bar and errors.
        setting: the block of settings that errors name, such as `train`, with `lr` and `batch`.
        network: its state dict is what is kept.
        parts: all that trains.
        parameters: the gradients' norm is taken over all of these.
        epochs: in their order.
        batch: images per step.
        lr: the setting's learning rate, for errors.
        seed: of the stream that dropout draws from.
        image_ids: `(n,)`, of the training images, for errors.
        order: gives an epoch's order of the images, int64 `(n,)`, from a random stream of its own name.
        loss: gives the loss of the images at some indices, and sums over them whose means enter the curve.
        factor: gives the learning rate's factor by epoch, number of the batch in it, and batches per epoch.
        prepare: called before the first epoch, unless the training has finished before.
        validate: gives further numbers after an on epoch from those so far; a `val_loss` must be finite.
        score: of an epoch's row; the largest is kept, the first of equals. None: the last epoch is kept.
        patience: number of scored epochs without improvement after which the training ends.
        clip_norm: bound on the norm of all gradients together.
        generator: draws through all epochs, so its state is saved.
    """

    name: str
    setting: str
    network: nn.Module
    parts: Sequence[Part]
    parameters: Sequence[nn.Parameter]
    epochs: Sequence[Epoch]
    batch: int
    lr: float
    seed: int
    image_ids: np.ndarray
    order: Callable[[int], np.ndarray]
    loss: Callable[[np.ndarray, Epoch], tuple[Tensor, dict[str, float]]]
    factor: Callable[[int, int, int], float]
    prepare: Callable[[], None] = lambda: None
    validate: Callable[[Row], Row] = lambda row: {}
    score: Callable[[Row], tuple[float, ...]] | None = None
    patience: int | None = None
    clip_norm: float | None = None
    generator: torch.Generator | None = None


class Course(NamedTuple):
    """How a training went: one row of the `curve` per epoch that ran, and the index of the `kept` epoch."""

    curve: list[Row]
    kept: int


def train(task: Task, checkpoint: Checkpoint | None = None) -> Course:
    """Train `task.network` in place; leave the state of the kept epoch, in eval mode.

    With a `checkpoint` the state is saved after each epoch; a training that was killed goes on after the last saved
    one, and its result is the same bytes as that of an unbroken one.

    Raises:
        UserError: a loss or gradient is NaN or infinite, the device's memory does not hold a step, or the checkpoint
            cannot be written. The checkpoint of the last finished epoch stays.
    """
    state = checkpoint.load() if checkpoint is not None else None
    if checkpoint is not None and state is not None and "kept" in state and checkpoint.recorded():
        state = None
    if state is not None and "kept" in state:  # it has finished before
        task.network.load_state_dict(state["network"])
        task.network.eval()
        return Course(state["curve"], state["kept"])
    task.prepare()
    curve: list[Row] = []
    best: Row | None = None  # score, epoch and network of the best epoch so far
    waited = 0  # scored epochs since then
    if state is not None:
        _restore(task, state["task"])
        curve, best, waited = state["curve"], state["best"], state["waited"]
    images = len(task.image_ids)
    with progress(images * len(task.epochs), task.name, unit="image") as advance:
        advance(images * len(curve))
        for epoch in task.epochs[len(curve) :]:
            row: Row = {"epoch": epoch.index, "phase": epoch.phase, **run_epoch(task, epoch, advance)}
            curve.append(row)
            if epoch.on:
                row |= task.validate(row)
                if not math.isfinite(row.get("val_loss", 0.0)):
                    raise UserError(
                        f"{task.name}: the validation loss is {row['val_loss']} after epoch {epoch.index};"
                        f" {_remedy(task)}"
                    )
            if epoch.on and task.score is not None:
                score, waited = task.score(row), waited + 1
                if best is None or score > best["score"]:
                    network = {name: value.detach().clone() for name, value in task.network.state_dict().items()}
                    best, waited = {"score": score, "epoch": epoch.index, "network": network}, 0
            if epoch is task.epochs[-1] or (task.patience is not None and waited >= task.patience):
                break
            if checkpoint is not None:
                checkpoint.save({"curve": curve, "best": best, "waited": waited, "task": _state(task)}, epoch.index)
    if best is not None:
        task.network.load_state_dict(best["network"])
    task.network.eval()
    kept = best["epoch"] if best is not None else curve[-1]["epoch"]
    if checkpoint is not None:
        checkpoint.save({"curve": curve, "kept": kept, "network": task.network.state_dict()}, curve[-1]["epoch"])
    return Course(curve, kept)


def run_epoch(task: Task, epoch: Epoch, advance: Advance = lambda images: None) -> dict[str, float]:
    """Train for one pass over the images; return `lr` (of the first part, in the end), `train_loss` and other means.

    Args:
        advance: called with the number of images of each step.

    Raises:
        UserError: a batch's loss or the norm of its gradients is NaN or infinite (no step was taken), or the device's
            memory does not hold a step (BatchNorm's buffers may have changed, nothing may be saved).
    """
    # The Alternating Epoch Architect: in an off epoch the resting parts are in eval mode, their gradients are None
    # (AdamW would still move parameters with gradient 0, by momentum and weight decay), and they take no step.
    training = [part for part in task.parts if epoch.on or not part.rests]
    for part in task.parts:
        for module in part.modules:
            module.train(part in training)
    seed_everything(task.seed, "dropout", epoch.index)
    sums: dict[str, float] = defaultdict(float)
    batches = split(task.order(epoch.index), task.batch)
    for number, indices in enumerate(batches):
        factor = task.factor(epoch.index, number, len(batches))
        for part in task.parts:
            for group in part.optimiser.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
            part.optimiser.zero_grad(set_to_none=True)
        with training_step(task.batch, f"{task.setting}.batch"):
            loss, numbers = task.loss(indices, epoch)
            value = loss.item()
            _require_finite(value, "loss", task, epoch, number, indices)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(task.parameters, task.clip_norm or math.inf)
            _require_finite(norm.item(), "gradients' norm", task, epoch, number, indices)
            for part in training:
                part.optimiser.step()
        for name, summed in {"train_loss": value * len(indices), **numbers}.items():
            sums[name] += summed
        advance(len(indices))
    for part in task.parts:
        part.optimiser.zero_grad(set_to_none=True)
    lr = task.parts[0].optimiser.param_groups[0]["lr"]
    return {"lr": lr, **{name: total / len(task.image_ids) for name, total in sums.items()}}


def split(order: np.ndarray, batch: int) -> list[np.ndarray]:
    """Split `order` into batches of `batch`; a single leftover image joins the last batch (BatchNorm needs two)."""
    starts = list(range(batch, len(order), batch))
    if starts and len(order) - starts[-1] == 1:
        starts.pop()
    return np.split(order, starts)


def _require_finite(value: float, what: str, task: Task, epoch: Epoch, number: int, indices: np.ndarray) -> None:
    if not math.isfinite(value):
        raise UserError(
            f"{task.name}: the {what} is {value} in epoch {epoch.index}, batch {number} (images"
            f" {named(task.image_ids[indices])}); {_remedy(task)} or look at these images"
        )


def _remedy(task: Task) -> str:
    return f"lower {task.setting}.lr (now {task.lr:.3g})"


def _state(task: Task) -> dict[str, Any]:
    """All that a later epoch depends on, beside the task's settings."""
    return {
        "network": task.network.state_dict(),
        "optimisers": [part.optimiser.state_dict() for part in task.parts],
        "generator": task.generator.get_state() if task.generator is not None else None,
    }


def _restore(task: Task, state: dict[str, Any]) -> None:
    task.network.load_state_dict(state["network"])
    for part, saved in zip(task.parts, state["optimisers"], strict=True):
        part.optimiser.load_state_dict(saved)
    if task.generator is not None:
        task.generator.set_state(state["generator"])
