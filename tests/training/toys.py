"""A small training with all that the loop knows, and ways to interrupt any training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ala.training import loop
from ala.training.loop import Epoch, Part, Row, Task
from ala.utils.seeds import numpy_generator

N, BATCH, EPOCHS = 11, 4, 4  # three steps an epoch, the last one shorter
OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB."


def toy_task(**changes: Any) -> Task:
    """Two parts, of which the first rests in off epochs; BatchNorm, dropout, momentum, and noise from a generator."""
    torch.manual_seed(0)
    first, last = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)), nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 3))
    inputs, labels = torch.randn(N, 4), torch.arange(N) % 3
    network, generator = nn.ModuleList([first, last]), torch.Generator().manual_seed(5)

    def loss(indices: np.ndarray, epoch: Epoch) -> tuple[Tensor, dict[str, float]]:
        noisy = inputs[indices] + 0.1 * torch.randn(len(indices), 4, generator=generator)
        logits = last(first(noisy) if epoch.on else torch.ones(len(indices), 8))
        right = (logits.argmax(1) == labels[indices]).sum().item()
        return nn.functional.cross_entropy(logits, labels[indices]), {"accuracy": right}

    @torch.no_grad()
    def validate(row: Row) -> Row:
        network.eval()
        return {"val_loss": nn.functional.cross_entropy(last(first(inputs)), labels).item()}

    parts = [
        Part(torch.optim.AdamW(last.parameters(), lr=0.3, weight_decay=0.1), [last]),
        Part(torch.optim.SGD(first.parameters(), lr=0.3, momentum=0.9, weight_decay=0.1), [first], rests=True),
    ]
    task = Task(
        "toy", "train", network, parts, list(network.parameters()), [Epoch(i, i % 2 == 1) for i in range(EPOCHS)],
        BATCH, 0.3, 7, 100 + np.arange(N), lambda epoch: numpy_generator(7, "order", epoch).permutation(N), loss,
        lambda epoch, number, batches: 0.9 ** (epoch * batches + number), validate=validate,
        score=lambda row: (-row["val_loss"],), clip_norm=1.0, generator=generator,
    )  # fmt: skip
    return replace(task, **changes)


class Killed(BaseException):
    """Raised where a kill would end the process."""


Place = tuple[str, int, int]


def watch(patch: pytest.MonkeyPatch, stop: Callable[..., bool] = lambda *place: False) -> list[Place]:
    """Kill a training before the step (setting, epoch, batch) that `stop` names; the list receives those begun."""
    begun: list[Place] = []
    real = loop.run_epoch

    def watched(task: Task, epoch: Epoch, *rest: Any) -> dict[str, float]:
        number = count()

        def loss(indices: np.ndarray, epoch: Epoch) -> Any:
            place = (task.setting, epoch.index, next(number))
            if stop(*place):
                raise Killed
            begun.append(place)
            return task.loss(indices, epoch)

        return real(replace(task, loss=loss), epoch, *rest)

    patch.setattr(loop, "run_epoch", watched)
    return begun


def epochs_of(begun: list[Place]) -> list[int]:
    """The epochs of the steps that :func:`watch` saw, each once."""
    return list(dict.fromkeys(epoch for _, epoch, _ in begun))


def bytes_of(network: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}


def fail_in_backward(patch: pytest.MonkeyPatch, step: int) -> list[int]:
    """Memory runs out in the backward pass of step number `step`, after the forward pass moved BatchNorm.

    Returns:
        The numbers of the steps whose backward pass was begun.
    """
    begun: list[int] = []
    real = Tensor.backward

    def stub(self: Tensor, *args: Any, **options: Any) -> None:
        begun.append(len(begun))
        if len(begun) - 1 == step:
            raise torch.OutOfMemoryError(OUT_OF_MEMORY)
        real(self, *args, **options)

    patch.setattr(Tensor, "backward", stub)
    return begun
