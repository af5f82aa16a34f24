"""SGD of both stages of F-CAM: its schedule, and the stop at the first loss or gradient that is NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ala.config.schema import FcamStage
from ala.data.store import Store
from ala.explainers.fcam.batches import Batch
from ala.utils.errors import UserError
from ala.utils.finite import named
from ala.utils.fitting import training_step


def sgd(
    settings: FcamStage, slow: Sequence[nn.Parameter], fast: Iterable[nn.Parameter] = (), factor: float = 1.0
) -> torch.optim.SGD:
    """SGD with Nesterov momentum; the parameters `fast` learn `factor` times faster than `slow`."""
    groups: list[dict[str, Any]] = [{"params": list(slow), "factor": 1.0}]
    fast = list(fast)
    if fast:
        groups.append({"params": fast, "factor": factor})
    return torch.optim.SGD(
        groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0,
        weight_decay=settings.weight_decay,
    )  # fmt: skip


def learning_rate(settings: FcamStage, epoch: int) -> float:
    """The rate in `epoch` (from 0): a tenth after each `step_epochs`, or constant."""
    return settings.lr * (0.1 ** (epoch // settings.step_epochs) if settings.step_epochs else 1.0)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group `rate` times its factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]


#: A batch's loss, and numbers that are logged with it.
Loss = tuple[Tensor, dict[str, float]]


def descend(
    optimiser: torch.optim.Optimizer, loss_of: Callable[[], Loss], stage: str, batch: Batch, store: Store,
    settings: FcamStage,
) -> tuple[float, dict[str, float]]:  # fmt: skip
    """One step down the gradient of a batch's loss; the loss and the other numbers.

    Raises:
        UserError: the loss or its gradient is NaN or infinite (no step was taken), or the device's memory does not hold
            the step (the network may have moved and must not be kept).
    """
    with training_step(settings.batch, f"fcam.{stage}.batch"):
        optimiser.zero_grad(set_to_none=True)
        loss, numbers = loss_of()
        value = checked(float(loss.detach()), "loss", stage, batch, store, settings)
        loss.backward()
        found = [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
        checked(float(nn.utils.get_total_norm(found)), "gradients' norm", stage, batch, store, settings)
        optimiser.step()
    return value, numbers


def checked(value: float, what: str, stage: str, batch: Batch, store: Store, settings: FcamStage) -> float:
    """Return `value` if it is finite.

    Raises:
        UserError: it is NaN or infinite; the message names the epoch, the batch and its images.
    """
    if not math.isfinite(value):
        ids = named(np.asarray(store.image_ids)[batch.rows])
        raise UserError(
            f"F-CAM's {stage}: the {what} is {value} in epoch {batch.epoch}, batch {batch.number} (photos {ids}); lower"
            f" fcam.{stage}.lr (now {settings.lr}) or look at these photos"
        )
    return value
