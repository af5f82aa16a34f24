"""Compute the box accuracy of CAMs, a criterion for the classifier's checkpoint (METHODS 4.5, 5.5)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_EIGHT = np.ones((3, 3), dtype=bool)  # neighbours touch at corners too, as contours do


def box_accuracy(found: np.ndarray) -> float:
    """MaxBoxAcc: the share of images whose box is found, at the one threshold that is best for all of them, in [0, 1].

    `found` is what :func:`boxes_found` gives for all of them, bool `(n, thresholds)`.
    """
    return float(found.mean(0).max())


def boxes_found(maps: np.ndarray, boxes: np.ndarray, thresholds: int = 50, iou: float = 0.5) -> np.ndarray:
    """Whether an image's box is found at each threshold.

    It is when the box around the largest connected region above the threshold overlaps the true box with
    an IoU of at least `iou`. METHODS 5.5 steps the threshold by 0.001; for choosing a checkpoint 0.02 is enough.

    Args:
        maps: `(n, S, S)` in [0, 1].
        boxes: `(n, 4)` x, y, width, height in the same pixels.
        thresholds: how many, evenly spaced from 0.
        iou: the overlap that counts as found.

    Returns:
        bool `(n, thresholds)`.
    """
    found = np.zeros((len(maps), thresholds), dtype=bool)
    for row, (heat, box) in enumerate(zip(maps, boxes, strict=True)):
        for column in range(thresholds):
            found[row, column] = box_iou(largest_box(heat > column / thresholds), box) >= iou
    return found


def largest_box(mask: np.ndarray) -> np.ndarray:
    """Box x, y, width, height of the largest connected region of bool `(H, W)`; all zero where there is none."""
    regions, count = ndimage.label(mask, structure=_EIGHT)
    if count == 0:
        return np.zeros(4)
    largest = 1 + int(np.bincount(regions.ravel())[1:].argmax())
    rows, columns = ndimage.find_objects(regions, max_label=largest)[largest - 1]
    return np.array([columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start], dtype=np.float64)


def box_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    overlap = max(width, 0.0) * max(height, 0.0)
    return float(overlap / (a[2] * a[3] + b[2] * b[3] - overlap))
