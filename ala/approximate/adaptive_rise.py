"""Adaptive RISE: masks are added until two halves of them agree on the map, image by image.

The masks are those of RISE, in its order: the map of an image that needed n masks is the mean over the first n of them.
After every block the maps of the masks with even and with odd numbers are compared by Spearman's rank correlation over
pixels; an image stops when that reaches a bound. The correlation is of two *halves*, so the map of all n masks is more
reliable than the bound says (by Spearman and Brown, 2 r / (1 + r) with another n masks).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from ala.config.schema import Rise
from ala.contracts.classifier import Classifier
from ala.contracts.maps import disk_backed
from ala.explainers.rise import SUM_MEMORY, RiseMasks
from ala.perturbation import Photos, target_scores


@dataclass(frozen=True)
class AdaptiveMaps:
    """What :func:`adaptive_rise` gives.

    Attributes:
        importance: float32 `(n, S, S)`, on RISE's scale.
        masks: int64 `(n,)`, how many masks each image took.
        agreement: float64 `(n,)`, the rank correlation of the two halves when it stopped.
    """

    importance: np.ndarray
    masks: np.ndarray
    agreement: np.ndarray


class _Shown:
    """Perturbed image f of an image is the normalised image times mask f."""

    def __init__(self, model: Classifier, photos: Photos, rows: np.ndarray, masks: Tensor) -> None:
        self.count, self.side = len(masks), masks.shape[-1]
        self._model, self._photos, self._rows, self._masks = model, photos, rows, masks

    def fill(self, photo: int, start: int, stop: int, out: Tensor) -> None:
        pixels = self._photos.pixels(self._rows[photo : photo + 1]).to(out.device)
        torch.mul(self._model.preprocessing.normalise(pixels), self._masks[start:stop, None], out=out)


@torch.inference_mode()
def adaptive_rise(
    model: Classifier, photos: Photos, rows: np.ndarray, targets: np.ndarray, settings: Rise, device: torch.device, *,
    bound: float, block: int = 100,
) -> AdaptiveMaps:  # fmt: skip
    """Maps of images `rows` for one class each, with as many masks as each needs, at most `settings.n_masks`.

    Args:
        model: any Classifier; its probabilities are used, whatever `settings.output` says.
        photos: at the side of `model.preprocessing`.
        rows: int `(n,)`.
        targets: int `(n,)`.
        settings: the `rise` block.
        device: where the model lives.
        bound: of the rank correlation of the two halves, in (0, 1).
        block: masks between two comparisons, an even number.

    Raises:
        ValueError: `bound` or `block` is out of range.
    """
    if not 0 < bound < 1:
        raise ValueError(f"bound must lie between 0 and 1, got {bound}")
    if block < 2 or block % 2:
        raise ValueError(f"block must be even and at least 2, got {block}")
    side = model.preprocessing.size
    masks = RiseMasks.draw(settings.n_masks, settings.grid, settings.p1, side, settings.seed)
    found = AdaptiveMaps(disk_backed((len(rows), side, side)), np.zeros(len(rows), np.int64), np.zeros(len(rows)))
    at_once = max(1, SUM_MEMORY // (4 * side * side))
    for start in range(0, len(rows), at_once):
        some = slice(start, start + at_once)
        made = _adaptive(model, photos, rows[some], targets[some], masks, settings, device, bound, block)
        found.importance[some], found.masks[some], found.agreement[some] = made
    return found


def _adaptive(
    model: Classifier, photos: Photos, rows: np.ndarray, targets: np.ndarray, masks: RiseMasks, settings: Rise,
    device: torch.device, bound: float, block: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Compute maps, masks and agreement of images whose sums fit in memory together."""
    side, count = masks.side, len(rows)
    halves = torch.zeros(2, count, side * side, device=device)  # sums over even and odd masks
    taken, agreement = np.zeros(count, np.int64), np.full(count, -1.0)
    active = np.arange(count)
    for start in range(0, len(masks), block):
        shown = masks.render(start, min(len(masks), start + block), device)  # (m, S, S)
        frames = _Shown(model, photos, rows[active], shown)
        scores = target_scores(model, targets[active], frames, settings.batch, device, f"adaptive RISE, mask {start:,}")
        weights, flat = torch.as_tensor(scores, device=device), shown.flatten(1)  # (a, m), (m, S * S)
        for half in (0, 1):
            halves[half, active] += weights[:, half::2] @ flat[half::2]
        taken[active] += len(shown)
        even, odd = halves[:, active].cpu().numpy()
        agreement[active] = [rank_correlation(one, other) for one, other in zip(even, odd, strict=True)]
        active = active[agreement[active] < bound]
        if not len(active):
            break
    total = halves.sum(0).cpu().numpy() / (taken[:, None] * settings.p1)  # (n, S * S)
    return total.reshape(count, side, side).astype(np.float32), taken, agreement


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's of two maps of any shape; 0 where one of them is constant."""
    a, b = (rankdata(values.reshape(-1)) for values in (one, other))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else 0.0
