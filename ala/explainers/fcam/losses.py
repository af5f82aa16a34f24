"""Partial cross-entropy on the seeds and the size loss by an extended log-barrier (METHODS 4.3)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ala.explainers.fcam.seeds import IGNORED


def partial_cross_entropy(logits: Tensor, seeds: Tensor) -> Tensor:
    """Cross-entropy, averaged over the pixels that are seeds; 0 where the batch has none.

    Args:
        logits: `(B, 2, H, W)`.
        seeds: int64 `(B, H, W)`: 0, 1, or -100 for ignored.
    """
    total = F.cross_entropy(logits, seeds, ignore_index=IGNORED, reduction="sum")
    return total / (seeds != IGNORED).sum().clamp(min=1)


def barrier_temperature(epoch: int, start: float, growth: float, largest: float) -> float:
    """t of epoch 0, 1, ...: `start` times `growth` per epoch, at most `largest`."""
    return min(start * growth**epoch, largest)


def log_barrier(z: Tensor, t: float) -> Tensor:
    """The extended log-barrier psi_t of the constraint z <= 0 (Kervadec et al. 2019), elementwise.

    -log(-z)/t where z <= -1/t^2; its tangent t z - log(1/t^2)/t + 1/t beyond, so it is finite and smooth everywhere.
    """
    edge = -1 / t**2
    inside = -torch.log(-z.clamp(max=edge)) / t  # the clamp keeps the unused branch free of NaN gradients
    beyond = t * z - math.log(1 / t**2) / t + 1 / t
    return torch.where(z <= edge, inside, beyond)


def size_loss(probabilities: Tensor, t: float) -> Tensor:
    """Size loss, which makes both regions large: half the sum over the two classes of the mean over the batch of
    psi_t(z_c).

    z_c = -(sum of S_c over the image), in pixels.

    Args:
        probabilities: S, softmax over the classes, `(B, 2, H, W)`.
        t: the barrier's temperature, > 0.
    """
    z = -probabilities.sum((2, 3))  # (B, 2)
    return 0.5 * log_barrier(z, t).mean(0).sum()
