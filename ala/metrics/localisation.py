"""Score weakly supervised localisation (METHODS 5.5; Choe et al. 2020), pointing game and energy in the mask.

MaxBoxAcc, MaxBoxAccV2 and PxAP are those of wsolevaluation: boxes of OpenCV's contours, holes included, from whole
pixels to whole pixels. What differs is where they are measured, at S = data.input_size and not at 224, and what PxAP is
measured on, the data set's own masks (docs/deviations.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from ala.metrics.iou import RULES, iou

if TYPE_CHECKING:
    from ala.metrics.scoring import Arrays, Scoring

_EIGHT = np.ones((3, 3), int)  # contours join pixels that touch at a corner
BINS = 1000  # of the histograms behind PxAP
IOU_LEVELS = (0.3, 0.5, 0.7)  # of MaxBoxAccV2


def listed(boxes: np.ndarray) -> np.ndarray:
    """Convert listed boxes `(n, 4)` `x, y, width, height` to edges `x0, y0, x1, y1`, truncated to integers: int64 `(n,
    4)`.

    x1 = x + width is where the box ends; as in wsolevaluation, :func:`box_iou` counts it as a pixel of the box.
    """
    start, length = np.asarray(boxes, np.float64)[:, :2], np.asarray(boxes, np.float64)[:, 2:]
    # Boxes are float32: 16.32 + 23.68 must be 40. Edges of whole pixels of a larger image lie further apart than that.
    return np.trunc(np.hstack([start, start + length]) + 1e-4).astype(np.int64)


def box_iou(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compute the IoU of boxes `(n, 4)` `x0, y0, x1, y1` with one box `(4,)`, both ends inside: float64 `(n,)`."""
    boxes = np.asarray(boxes, dtype=np.int64).reshape(-1, 4)
    x0, y0, x1, y1 = truth
    wide = np.clip(np.minimum(boxes[:, 2], x1) - np.maximum(boxes[:, 0], x0) + 1, 0, None)
    high = np.clip(np.minimum(boxes[:, 3], y1) - np.maximum(boxes[:, 1], y0) + 1, 0, None)
    both = wide * high
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    return both / (areas + (x1 - x0 + 1) * (y1 - y0 + 1) - both)


def box_scores(maps: np.ndarray, boxes: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Compute the IoU of a map's boxes with the object's listed box, for every threshold.

    The map, in 8 bits, is thresholded at int(tau * its maximum) for tau = 0, step, ..., below 1: foreground lies above.
    Each contour has a box (:func:`contour_boxes`).

    Args:
        maps: `(n, S, S)` in [0, 1].
        boxes: `(n, 4)` `x, y, width, height` in pixels of the S x S image, from the data set's own list.
        step: of tau.

    Returns:
        `(n, T)` for the contour with the largest area (MaxBoxAcc), and for the best of all contours (MaxBoxAccV2).
    """
    taus = np.arange(0, 1, step)
    largest, best = np.zeros((len(maps), len(taus))), np.zeros((len(maps), len(taus)))
    for index, (values, truth) in enumerate(zip(maps, listed(boxes), strict=True)):
        levels = (values * 255).astype(np.uint8)
        thresholds = (taus * int(levels.max())).astype(int)
        distinct, places = np.unique(thresholds, return_inverse=True)
        found = np.empty((len(distinct), 2))
        for row, threshold in zip(found, distinct, strict=True):
            ious = box_iou(contour_boxes(levels > threshold), truth)
            row[:] = ious[0], ious.max()
        largest[index], best[index] = found[places].T
    return largest, best


def contour_boxes(foreground: np.ndarray) -> np.ndarray:
    """Find the boxes of a mask's contours `(H, W)`, largest contour area first: int64 `(C, 4)` `x0, y0, x1, y1`.

    What OpenCV's `findContours` (all contours), `contourArea` and `boundingRect` give: every part, joined at corners,
    has an outer contour, and every hole one that runs over the pixels around it. x1 and y1 lie one pixel beyond the
    contour, but not beyond the mask's last pixel. Of equal areas the contour that starts lowest comes first. Without
    foreground there is one box, 0, 0, 0, 0, as in wsolevaluation.
    """
    parts, count = ndimage.label(foreground, _EIGHT)
    if not count:
        return np.zeros((1, 4), np.int64)
    outer = _extents(parts)
    background, _ = ndimage.label(np.pad(~foreground, 1, constant_values=True))  # 1 is what surrounds all parts
    holes = _extents(background)[1:] + np.array([-2, -2, 0, 0])  # without the padding, and a pixel larger on each side
    # A hole's contour never has a larger area than that of the part around it.
    found = np.vstack([outer[_largest(parts, outer)], outer, holes])
    return np.hstack([found[:, :2], np.minimum(found[:, 2:], np.array(foreground.shape[::-1]) - 1)])


def _extents(labels: np.ndarray) -> np.ndarray:
    """Find the first pixel, and the one after the last, of every label from 1: int64 `(L, 4)` `x0, y0, x1, y1`."""
    slices = ndimage.find_objects(labels)
    return np.array([(x.start, y.start, x.stop, y.stop) for y, x in slices], np.int64).reshape(-1, 4)


def _largest(parts: np.ndarray, extents: np.ndarray) -> int:
    """Find the part, from 0, whose outer contour has the largest area; the last of equals."""
    bounds = (extents[:, 2:] - extents[:, :2] - 1).prod(axis=1)  # upper bounds of the areas, measured only where needed
    best, index = 0.0, len(bounds) - 1
    for place in np.argsort(-bounds):
        if bounds[place] < max(best, 1) or len(bounds) == 1:
            break
        x0, y0, x1, y1 = extents[place]
        area = contour_area(parts[y0:y1, x0:x1] == place + 1)
        if (area, place) > (best, index):
            best, index = area, int(place)
    return index


def contour_area(part: np.ndarray) -> float:
    """Compute the area inside the outer contour of one part, boolean `(h, w)`: the polygon through its pixels' centres.

    Of a square of four centres the contour encloses all where all four are in the part or a hole, half where three are.
    """
    background, _ = ndimage.label(np.pad(~part, 1, constant_values=True))
    inside = (background != 1).view(np.uint8)
    rows = inside[:-1] + inside[1:]
    corners = rows[:, :-1] + rows[:, 1:]
    return float((corners == 4).sum() + (corners == 3).sum() / 2)


def max_box_acc(largest: np.ndarray) -> float:
    """MaxBoxAcc from the first of :func:`box_scores` `(n, T)`: best share of images with IoU >= 0.5 at one tau."""
    return float((largest >= 0.5).mean(axis=0).max())


def max_box_acc_v2(best: np.ndarray) -> float:
    """MaxBoxAccV2 from the second of :func:`box_scores` `(n, T)`: mean over IoU 0.3, 0.5, 0.7, each with its tau."""
    return float(np.mean([(best >= level).mean(axis=0).max() for level in IOU_LEVELS]))


def score_histograms(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Count pixels of maps `(n, S, S)` in [0, 1] by their value: int64 `(2, BINS + 1)`, background and foreground.

    Histograms of parts of a data set are added up before :func:`pxap`.
    """
    bins = np.floor(maps.astype(np.float64) * BINS).astype(np.int64)
    return np.stack([np.bincount(bins[masks == side], minlength=BINS + 1) for side in (False, True)])


def pxap(histograms: np.ndarray) -> float:
    """Compute pixel average precision over all pixels of all images pooled: sum of precision times the gain in recall.

    Args:
        histograms: from :func:`score_histograms`; there is foreground.
    """
    background, foreground = histograms[:, ::-1].cumsum(axis=1)  # predicted at each threshold, descending
    predicted = foreground + background
    precision = foreground / np.maximum(predicted, 1)
    recall = foreground / foreground[-1]
    return float((precision * np.diff(recall, prepend=0)).sum())


def pointing(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Play the pointing game: the share of a map's maxima (all that are equal) that lie in the mask, `(n,)`.

    With a single maximum it is 1 or 0 (Zhang et al. 2018, without their 15-pixel tolerance); a constant map scores the
    chance of a random guess.
    """
    top = maps == maps.max(axis=(1, 2), keepdims=True)
    return (top & masks).sum(axis=(1, 2)) / top.sum(axis=(1, 2))


def energy(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Compute the share of a map's sum that lies in the mask (Wang et al. 2020): `(n,)`; NaN for a map of zeros."""
    total = maps.sum(axis=(1, 2), dtype=np.float64)
    inside = np.where(masks, maps, 0).sum(axis=(1, 2), dtype=np.float64)
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)


class Localisation:
    """Pointing and energy by image; MaxBoxAcc, MaxBoxAccV2 and PxAP of the whole set; IoU where grey > 0."""

    images = "subset"
    evaluates = False
    reads: tuple[str, ...] = ("images_per_class", "subset_seed", "box_step")

    def measure(self, scoring: Scoring, index: np.ndarray) -> Arrays:
        """`localisation/pointing`, `localisation/energy` (NaN for a map of zeros), `anyone-RULE/iou`, each `(n,)`."""
        parts = [self._measure(scoring, index[some]) for some in scoring.chunks(index)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _measure(self, scoring: Scoring, index: np.ndarray) -> Arrays:
        values, masks = scoring.scaled(index), scoring.objects(index)  # (b, S, S) each
        anyone = scoring.test.foreground(index, 0)
        largest, best = box_scores(values, scoring.test.boxes[index], scoring.settings.box_step)
        found: Arrays = {
            "localisation/pointing": pointing(values, masks),
            "localisation/energy": energy(values, masks),
            "_largest": largest, "_best": best,
            "_histograms": score_histograms(values, masks)[None],
        }  # fmt: skip
        for rule in RULES:
            found[f"anyone-{rule}/iou"] = iou(scoring.predicted(index, rule, values), anyone)
        return found

    def whole(self, arrays: Arrays) -> dict[str, float]:
        """MaxBoxAcc, MaxBoxAccV2 and PxAP."""
        return {
            "localisation/maxboxacc": max_box_acc(arrays["_largest"]),
            "localisation/maxboxaccv2": max_box_acc_v2(arrays["_best"]),
            "localisation/pxap": pxap(arrays["_histograms"].sum(axis=0)),
        }
