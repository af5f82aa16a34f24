"""Compute the intersection over union of a thresholded map with the object's mask (METHODS 5.4).

Foreground only, per image, averaged over images. A pixel is predicted where the map is strictly above the threshold:

| rule | threshold |
|---|---|
| `mean_std` | the map's mean + its standard deviation (divided by n, not n - 1) |
| `fixed` | 0.5 |
| `otsu` | Otsu's, on the map in 8 bits |
| `val` | the tau of {0, 0.01, ..., 1} with the best mean IoU on validation, one per method and seed |

Maps are scaled to [0, 1] per image first, except those that are calibrated; binary maps are predictions already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ala.contracts.maps import Maps, resize

if TYPE_CHECKING:
    from ala.metrics.scoring import Arrays, Scoring

RULES = ("mean_std", "fixed", "otsu", "val")
TAUS = np.linspace(0, 1, 101)
_PIXELS_AT_ONCE = 2**22  # of maps and masks, so that CUB at 384 x 384 never lies in memory as a whole


def min_max(maps: np.ndarray) -> np.ndarray:
    """Scale each of the maps `(n, h, w)` to [0, 1], float32; a constant map becomes 0 everywhere."""
    low = maps.min(axis=(1, 2), keepdims=True)
    reach = maps.max(axis=(1, 2), keepdims=True) - low
    return ((maps - low) / np.where(reach > 0, reach, 1)).astype(np.float32)


def at_size(maps: Maps, image_ids: np.ndarray, image_size: int) -> np.ndarray:
    """Resize and scale the maps of `image_ids` for the rules: float32 `(n, S, S)` in [0, 1].

    Resized first and scaled then, so that the largest value on the S x S grid is 1.
    """
    resized = resize(maps.select(image_ids), image_size)
    return resized if maps.calibrated or maps.binary else min_max(resized)


def chunks(indices: np.ndarray, image_size: int) -> Iterator[np.ndarray]:
    """Yield `indices` a few at a time, so that no data set of images `(S, S)` is in memory as a whole."""
    at_once = max(1, _PIXELS_AT_ONCE // image_size**2)
    for start in range(0, len(indices), at_once):
        yield indices[start : start + at_once]


def mean_std_ious(maps: np.ndarray, truth: Callable[[np.ndarray], np.ndarray], image_size: int) -> np.ndarray:
    """Compute the IoU of maps by the rule `mean_std`, a few images at a time: float64 `(n,)`.

    Args:
        maps: `(n, h, w)`, as a model makes them.
        truth: int `(b,)` positions of images to their objects, boolean `(b, S, S)`.
        image_size: S, of the evaluation.
    """
    found = np.zeros(len(maps))
    for some in chunks(np.arange(len(maps)), image_size):
        found[some] = iou(predict(min_max(resize(maps[some], image_size)), "mean_std"), truth(some))
    return found


def iou(predictions: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compute the IoU of masks, boolean `(n, S, S)` each: float64 `(n,)` in [0, 1]; the truth is not empty."""
    both = (predictions & truth).sum(axis=(1, 2))
    either = (predictions | truth).sum(axis=(1, 2))
    return both / either


def otsu(levels: np.ndarray) -> np.ndarray:
    """Compute Otsu's threshold of 8-bit maps `(n, h, w)`: float64 `(n,)`, foreground is above it; NaN for a constant
    map.

    The smallest level that makes the variance between the two classes largest (Otsu 1979).
    """
    flat = levels.reshape(len(levels), -1).astype(np.int64)
    offsets = np.arange(len(flat))[:, None] * 256
    counts = np.bincount((flat + offsets).ravel(), minlength=256 * len(flat)).reshape(-1, 256)  # (n, 256)
    below = counts.cumsum(axis=1)[:, :-1]  # pixels up to each level
    mass = (counts * np.arange(256)).cumsum(axis=1)  # their sum of levels
    total, above = flat.shape[1], flat.shape[1] - below
    parted = (below > 0) & (above > 0)
    # Between-class variance times total^2: (mass_below * total - mass_total * below)^2 / (below * above), the
    # numerator in exact integers, so that equal splits are equal.
    spread = (mass[:, :-1] * total - mass[:, -1:] * below).astype(np.float64) ** 2
    between = np.where(parted, spread / np.where(parted, below * above, 1), -1.0)
    return np.where(parted.any(axis=1), between.argmax(axis=1), np.nan)


def predict(maps: np.ndarray, rule: str, tau: float | None = None) -> np.ndarray:
    """Threshold maps `(n, S, S)` in [0, 1] by `rule`: foreground, boolean `(n, S, S)`; `tau` is the threshold of `val`.

    A prediction may be empty: a constant map under `mean_std` and `otsu`, or any rule whose threshold no value exceeds.
    """
    if rule == "mean_std":
        exact = maps.astype(np.float64)
        return exact > (exact.mean(axis=(1, 2)) + exact.std(axis=(1, 2)))[:, None, None]
    if rule == "fixed":
        return maps > 0.5
    if rule == "otsu":
        levels = np.rint(maps.astype(np.float64) * 255).astype(np.uint8)
        return levels > otsu(levels)[:, None, None]  # nothing is above NaN
    if rule == "val":
        if tau is None:
            raise ValueError("the rule val needs the tau that best_tau found on validation")
        return maps > np.float32(tau)
    raise ValueError(f"rule {rule!r} is not one of {', '.join(RULES)}")


def iou_by_tau(maps: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compute the IoU of maps `(n, S, S)` in [0, 1] with truth `(n, S, S)` at each tau of :data:`TAUS`: float64 `(n,
    101)`.

    One histogram per image instead of 101 comparisons: a pixel passes the first k taus that lie below its value.
    """
    n = len(maps)
    passed = np.searchsorted(TAUS.astype(np.float32), maps.reshape(n, -1), side="left")  # (n, P), k of each pixel
    cells = passed + np.arange(n)[:, None] * (len(TAUS) + 1)
    inside = truth.reshape(n, -1)
    everywhere = _passing(cells, n)
    both = _passing(cells[inside], n)
    return both / (everywhere + inside.sum(axis=1)[:, None] - both)


def _passing(cells: np.ndarray, n: int) -> np.ndarray:
    """Count the pixels above each tau, `(n, 101)`, from the cells of their histograms."""
    counts = np.bincount(cells.ravel(), minlength=n * (len(TAUS) + 1)).reshape(n, -1)
    return counts[:, :0:-1].cumsum(axis=1)[:, ::-1]  # those that pass at least k taus, k = 1..101


def best_tau(curves: np.ndarray) -> float:
    """Find the tau with the largest mean of `iou_by_tau` `(n, 101)` over images; the smallest of equals."""
    return float(TAUS[curves.mean(axis=0).argmax()])


class Iou:
    """IoU and whether the prediction is empty, by rule, with the object of the majority of annotators."""

    images = "mapped"
    evaluates = False
    reads: tuple[str, ...] = ()

    def measure(self, scoring: Scoring, index: np.ndarray) -> Arrays:
        """`majority-RULE/iou` in [0, 1] and `majority-RULE/empty` (1 or 0) for every rule, each `(n,)`."""
        found: Arrays = {}
        for rule in RULES:
            found[f"majority-{rule}/iou"] = np.empty(len(index))
            found[f"majority-{rule}/empty"] = np.empty(len(index), np.int8)
        for part in scoring.chunks(index):
            values, masks = scoring.scaled(index[part]), scoring.objects(index[part])  # (b, S, S) each
            for rule in RULES:
                foreground = scoring.predicted(index[part], rule, values)
                found[f"majority-{rule}/iou"][part] = iou(foreground, masks)
                found[f"majority-{rule}/empty"][part] = ~foreground.any(axis=(1, 2))
        return found

    def whole(self, arrays: Arrays) -> dict[str, float]:
        """Nothing."""
        return {}
