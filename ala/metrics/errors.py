"""Classify a map's error as over-attended, insufficiently attended or other (METHODS 6; slides 35 and 36).

With prediction P, object G and union U = P ∪ G, three shares of U sum to 1:

    fp = |P \\ G| / |U|,   fn = |G \\ P| / |U|,   iou = |P ∩ G| / |U|

Over-attended (OA) where fp >= rho * fn, insufficiently attended (IA) where fn >= rho * fp, else Others. The slides
sorted by hand and give no criterion; this one is ours, so reports show several rho.
"""

from __future__ import annotations

import numpy as np

from ala.data.image_cache import is_object

OA, IA, OTHERS = "OA", "IA", "Others"
KINDS = (OA, IA, OTHERS)
#: Flags of an image beside its kind of error; several may hold.
FLAGS = ("missed", "misclassified", "tiny_object", "mask_uncertain", "reflection")

MISSED_IOU = 0.02  # below it, the object counts as missed
TINY_AREA = 0.05  # of the image; a smaller object counts as tiny
UNCERTAIN_SHARE = 0.3  # of the union; above it, annotators disagree on too much of what is compared


def shares(predictions: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Compute `iou`, `fp` and `fn` as shares of the union, each float64 `(n,)` in [0, 1], with sum 1.

    Args:
        predictions: boolean `(n, S, S)`.
        truth: boolean `(n, S, S)`, none of them empty.
    """
    both = (predictions & truth).sum(axis=(1, 2))
    either = (predictions | truth).sum(axis=(1, 2))
    return {
        "iou": both / either,
        "fp": (predictions & ~truth).sum(axis=(1, 2)) / either,
        "fn": (truth & ~predictions).sum(axis=(1, 2)) / either,
    }


def kinds(fp: np.ndarray, fn: np.ndarray, rho: float) -> np.ndarray:
    """Classify each error `(n,)` as one of :data:`KINDS`; without an error (fp = fn = 0) it is Others."""
    wrong = (fp > 0) | (fn > 0)
    return np.where(wrong & (fp >= rho * fn), OA, np.where(wrong & (fn >= rho * fp), IA, OTHERS))


def flags(
    predictions: np.ndarray, greys: np.ndarray, mask_threshold: int, iou: np.ndarray, correct: np.ndarray
) -> dict[str, np.ndarray]:
    """Compute the flags of each image: boolean `(n,)` by the names of :data:`FLAGS`.

    Args:
        predictions: P, boolean `(n, S, S)`.
        greys: masks as grey levels, uint8 `(n, S, S)`; the object is where grey > mask_threshold.
        mask_threshold: 127 is the majority of annotators; levels from 1 up to it count as uncertain.
        iou: float `(n,)`.
        correct: boolean `(n,)`, whether the model names the right class.
    """
    truth = is_object(greys, mask_threshold)
    either = (predictions | truth).sum(axis=(1, 2))
    doubted = (is_object(greys, 0) & ~truth & predictions).sum(axis=(1, 2))  # the rest of U is G, hence not doubted
    return {
        "missed": iou < MISSED_IOU,
        "misclassified": ~np.asarray(correct, dtype=bool),
        "tiny_object": truth.mean(axis=(1, 2)) < TINY_AREA,
        "mask_uncertain": doubted / either > UNCERTAIN_SHARE,
        "reflection": np.array([_below(one, mask) for one, mask in zip(predictions, truth, strict=True)], dtype=bool),
    }


def worst(image_ids: np.ndarray, iou: np.ndarray, share: float, at_least: int) -> np.ndarray:
    """Find the ids of the images with the lowest IoU, worst first; ties by smaller id.

    As many as `share` of them, rounded, but no fewer than `at_least` (or all, if there are fewer).
    """
    count = min(len(image_ids), max(at_least, round(share * len(image_ids))))
    return np.asarray(image_ids)[np.lexsort((image_ids, iou))[:count]]


def _below(prediction: np.ndarray, truth: np.ndarray) -> bool:
    """Test whether P has several parts and the centre of one lies below the object's lowest row (for inspection by
    hand).
    """
    from scipy.ndimage import center_of_mass, label

    parts, count = label(prediction)  # 4-connected
    if count < 2:
        return False
    lowest = np.flatnonzero(truth.any(axis=1)).max()
    centres = center_of_mass(prediction, parts, range(1, count + 1))
    return any(row > lowest for row, _ in centres)
