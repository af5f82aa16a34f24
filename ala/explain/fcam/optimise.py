"""What both stages of F-CAM share: SGD, its schedule, and the stop at the first loss that is no number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ala.config.schema import FcamStage
from ala.data.store import Store
from ala.explain.fcam.batches import Batch
from ala.runtime.errors import UserError


def sgd(settings: FcamStage, slow: Sequence[nn.Parameter], fast: Iterable[nn.Parameter] = ()) -> torch.optim.SGD:
    """SGD with Nesterov momentum; the parameters `fast` learn `head_lr_factor` times faster than `slow`."""
    groups: list[dict[str, Any]] = [{"params": list(slow), "factor": 1.0}]
    fast = list(fast)
    if fast:
        groups.append({"params": fast, "factor": settings.head_lr_factor})
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


def checked(loss: Tensor, stage: str, batch: Batch, store: Store, settings: FcamStage) -> float:
    """The loss as a number.

    Raises:
        UserError: it is NaN or infinite; the message names the epoch, the batch and its photos.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        ids = ", ".join(map(str, np.asarray(store.image_ids)[batch.rows][:8].tolist()))
        more = f" and {len(batch.rows) - 8} more" * (len(batch.rows) > 8)
        raise UserError(
            f"F-CAM's {stage}: the loss is {value} in epoch {batch.epoch}, batch {batch.number} (photos {ids}{more});"
            f" lower fcam.{stage}.lr (now {settings.lr}) or look at these photos"
        )
    return value
