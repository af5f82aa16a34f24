"""Weakly supervised localisation (METHODS 5.5; Choe et al. 2020), pointing game and energy in the mask.

Everything is measured at the side of the evaluation, S = data.input_size, not at 224: boxes and masks keep their
shares of the photo.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_EIGHT = np.ones((3, 3), int)  # contours join pixels that touch at a corner
BINS = 1000  # of the histograms behind PxAP
IOU_LEVELS = (0.3, 0.5, 0.7)  # of MaxBoxAccV2


def inclusive(boxes: np.ndarray, side: int) -> np.ndarray:
    """Boxes `(n, 4)` `x, y, width, height` as their first and last pixels `x0, y0, x1, y1`: int64 `(n, 4)`.

    A pixel belongs to a box that covers its centre, as in the map `box` (:mod:`ala.explain.trivial`), which therefore
    finds every box; a box thinner than a pixel keeps the pixel that it lies in.
    """
    start, length = np.asarray(boxes, np.float64)[:, :2], np.asarray(boxes, np.float64)[:, 2:]
    first, stop = (np.clip(np.ceil(edge - 0.5), 0, side) for edge in (start, start + length))
    middle = np.clip(np.floor(start + length / 2), 0, side - 1)
    thin = first >= stop
    return np.hstack([np.where(thin, middle, first), np.where(thin, middle, stop - 1)]).astype(np.int64)


def box_iou(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """IoU of boxes `(n, 4)` `x0, y0, x1, y1` with one box `(4,)`, both ends counted as inside: float64 `(n,)`."""
    boxes = np.asarray(boxes, dtype=np.int64).reshape(-1, 4)
    x0, y0, x1, y1 = truth
    wide = np.clip(np.minimum(boxes[:, 2], x1) - np.maximum(boxes[:, 0], x0) + 1, 0, None)
    high = np.clip(np.minimum(boxes[:, 3], y1) - np.maximum(boxes[:, 1], y0) + 1, 0, None)
    both = wide * high
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    return both / (areas + (x1 - x0 + 1) * (y1 - y0 + 1) - both)


def box_scores(maps: np.ndarray, boxes: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """IoU of a map's boxes with the object's listed box, for every threshold.

    The map, in 8 bits, is cut at int(tau * its maximum) for tau = 0, step, ..., below 1: foreground lies above. Each
    connected part has a box.

    Args:
        maps: `(n, S, S)` in [0, 1].
        boxes: `(n, 4)` `x, y, width, height` in pixels of the S x S photo, from the data set's own list.
        step: of tau.

    Returns:
        `(n, T)` for the part with the largest area (MaxBoxAcc), and for the best of all parts (MaxBoxAccV2); 0 where
        nothing is above the threshold.
    """
    taus = np.arange(0, 1, step)
    largest, best = np.zeros((len(maps), len(taus))), np.zeros((len(maps), len(taus)))
    for photo, (values, truth) in enumerate(zip(maps, inclusive(boxes, maps.shape[-1]), strict=True)):
        levels = (values * 255).astype(np.uint8)
        cuts = (taus * int(levels.max())).astype(int)
        distinct, places = np.unique(cuts, return_inverse=True)
        found = np.array([_parts(levels > cut, truth) for cut in distinct])  # (D, 2)
        largest[photo], best[photo] = found[places, 0], found[places, 1]
    return largest, best


def _parts(foreground: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """IoU of the largest part's box, and of the best part's box, with `truth`; the first of equally large parts."""
    parts, count = ndimage.label(foreground, _EIGHT)
    if not count:
        return 0.0, 0.0
    slices = ndimage.find_objects(parts)
    boxes = np.array([(x.start, y.start, x.stop - 1, y.stop - 1) for y, x in slices])
    ious = box_iou(boxes, truth)
    return float(ious[np.bincount(parts.ravel())[1:].argmax()]), float(ious.max())


def max_box_acc(largest: np.ndarray) -> float:
    """MaxBoxAcc from the first of :func:`box_scores` `(n, T)`: the best share of photos with IoU >= 0.5, one tau for
    all photos."""
    return float((largest >= 0.5).mean(axis=0).max())


def max_box_acc_v2(best: np.ndarray) -> float:
    """MaxBoxAccV2 from the second of :func:`box_scores` `(n, T)`: mean over IoU 0.3, 0.5, 0.7, each with its tau."""
    return float(np.mean([(best >= level).mean(axis=0).max() for level in IOU_LEVELS]))


def score_histograms(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Pixels of maps `(n, S, S)` in [0, 1] by their value: int64 `(2, BINS + 1)`, background and foreground.

    Histograms of parts of a data set are added up before :func:`pxap`.
    """
    bins = np.floor(maps.astype(np.float64) * BINS).astype(np.int64)
    return np.stack([np.bincount(bins[masks == side], minlength=BINS + 1) for side in (False, True)])


def pxap(histograms: np.ndarray) -> float:
    """Pixel average precision, over all pixels of all photos pooled: sum of precision times the gain in recall.

    Args:
        histograms: from :func:`score_histograms`; there is foreground.
    """
    background, foreground = histograms[:, ::-1].cumsum(axis=1)  # predicted at each threshold, descending
    predicted = foreground + background
    precision = foreground / np.maximum(predicted, 1)
    recall = foreground / foreground[-1]
    return float((precision * np.diff(recall, prepend=0)).sum())


def pointing(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Pointing game: the share of a map's largest values, equal ones count all, that lie in the mask: `(n,)`.

    With a single maximum it is 1 or 0 (Zhang et al. 2018, without their 15-pixel tolerance); a constant map hits with
    the chance that a blind guess has.
    """
    top = maps == maps.max(axis=(1, 2), keepdims=True)
    return (top & masks).sum(axis=(1, 2)) / top.sum(axis=(1, 2))


def energy(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The share of a map's sum that lies in the mask (Wang et al. 2020): `(n,)`; a map of zeros has NaN."""
    total = maps.sum(axis=(1, 2), dtype=np.float64)
    inside = np.where(masks, maps, 0).sum(axis=(1, 2), dtype=np.float64)
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)
