"""Adaptive RISE: masks are added until two halves of them agree on the map, image by image.

The masks are those of RISE, in its order: the map of an image that needed n masks is the mean over the first n of them.
After every block the maps of the masks with even and with odd numbers are compared by Spearman's rank correlation over
pixels; an image stops when that reaches a bound. The correlation is of two *halves*, so the map of all n masks is more
reliable than the bound says (by Spearman and Brown, 2 r / (1 + r) with another n masks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from ala.contracts.classifier import Classifier
from ala.explainers.rise import SUM_MEMORY, Masked, RiseMasks
from ala.perturbation import target_scores
from ala.utils.errors import UserError


class AdaptiveRise:
    """RISE with as many masks as each image needs; a row of its own, since its numbers are not RISE's.

    Args:
        classifier: normalised images to probabilities.
        n_masks, grid, p1, seed, bound, block, batch: as in :func:`adaptive_rise`.
    """

    label = "adaptive RISE"
    images = "subset"

    def __init__(
        self,
        classifier: Classifier,
        n_masks: int,
        grid: int,
        p1: float,
        seed: int,
        bound: float,
        block: int,
        batch: int,
    ) -> None:
        self.classifier = classifier
        self.settings: dict[str, Any] = {
            "n_masks": n_masks, "grid": grid, "p1": p1, "seed": seed, "bound": bound, "block": block, "batch": batch,
        }  # fmt: skip

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Maps `(B, S, S)`."""
        return adaptive_rise(self.classifier, images, targets, **self.settings).importance


@dataclass(frozen=True)
class AdaptiveMaps:
    """What :func:`adaptive_rise` gives.

    Attributes:
        importance: float32 `(B, S, S)` on the CPU, on RISE's scale.
        masks: int64 `(B,)`, how many masks each image took.
        agreement: float64 `(B,)`, the rank correlation of the two halves when it stopped.
    """

    importance: Tensor
    masks: np.ndarray
    agreement: np.ndarray


@torch.inference_mode()
def adaptive_rise(
    classifier: Classifier, images: Tensor, targets: Tensor | np.ndarray, *, n_masks: int = 4000, grid: int = 7,
    p1: float = 0.5, seed: int = 0, bound: float = 0.9, block: int = 100, batch: int = 64,
) -> AdaptiveMaps:  # fmt: skip
    """Compute maps of images for one class each, with as many masks as each needs, at most `n_masks`.

    Args:
        classifier: any Classifier.
        images: normalised, `(B, 3, S, S)`, on the device of the classifier.
        targets: int `(B,)`.
        n_masks, grid, p1, seed: of RISE's masks (:func:`ala.explainers.rise.rise`).
        bound: of the rank correlation of the two halves, in (0, 1).
        block: masks between two comparisons, an even number.
        batch: perturbed images per forward pass.

    Raises:
        UserError: `bound` or `block` is out of range.
    """
    if not 0 < bound < 1:
        raise UserError(f"adaptive-rise.bound is {bound}; it must lie between 0 and 1")
    if block < 2 or block % 2:
        raise UserError(f"adaptive-rise.block is {block}; it must be even and at least 2")
    classes, image_size = torch.as_tensor(targets).cpu().numpy(), images.shape[-1]
    masks = RiseMasks.draw(n_masks, grid, p1, image_size, seed)
    at_once = max(1, SUM_MEMORY // (4 * image_size * image_size))
    parts = [
        _adaptive(classifier, images[start : start + at_once], classes[start : start + at_once], masks, p1, bound,
                  block, batch)
        for start in range(0, len(images), at_once)
    ]  # fmt: skip
    importance, taken, agreement = zip(*parts, strict=True)
    return AdaptiveMaps(torch.cat(importance), np.concatenate(taken), np.concatenate(agreement))


def _adaptive(
    classifier: Classifier, images: Tensor, targets: np.ndarray, masks: RiseMasks, p1: float, bound: float, block: int,
    batch: int,
) -> tuple[Tensor, np.ndarray, np.ndarray]:  # fmt: skip
    """Compute maps, masks and agreement of images whose sums fit in memory together."""
    image_size, count, device = masks.image_size, len(images), images.device
    halves = torch.zeros(2, count, image_size * image_size, device=device)  # sums over even and odd masks
    taken, agreement = np.zeros(count, np.int64), np.full(count, -1.0)
    active = np.arange(count)
    for start in range(0, len(masks), block):
        shown = masks.render(start, min(len(masks), start + block), device)  # (m, S, S)
        perturbed = Masked(images[active], shown)
        scores = target_scores(classifier, targets[active], perturbed, batch, device, f"adaptive RISE, mask {start:,}")
        weights, flat = torch.as_tensor(scores, device=device), shown.flatten(1)  # (a, m), (m, S * S)
        for half in (0, 1):
            halves[half, active] += weights[:, half::2] @ flat[half::2]
        taken[active] += len(shown)
        even, odd = halves[:, active].cpu().numpy()
        agreement[active] = [rank_correlation(one, other) for one, other in zip(even, odd, strict=True)]
        active = active[agreement[active] < bound]
        if not len(active):
            break
    total = halves.sum(0).cpu() / torch.as_tensor(taken[:, None] * p1)  # (n, S * S)
    return total.view(count, image_size, image_size).float(), taken, agreement


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's of two maps of any shape; 0 where one of them is constant."""
    a, b = (rankdata(values.reshape(-1)) for values in (one, other))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else 0.0
