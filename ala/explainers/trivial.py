"""Baseline maps that use no model, which any method should beat, and one oracle (METHODS 5.4).

| name | map | as a prediction |
|---|---|---|
| `full` | 1 everywhere | the full image, under every rule (binary) |
| `center` | a Gaussian around the middle, standard deviation a quarter of the side | by the threshold rules |
| `noise` | uniform in [0, 1), independent on a grid as fine as ALA's map | by the threshold rules |
| `box` | 1 in the ground-truth box, 0 outside | the box, under every rule (binary); an oracle |

A map of one value has no threshold that means "all of it" (mean + std, Otsu and every tau >= 1 would leave
nothing), which is why `full` and `box` are binary Maps: their values are the prediction.
"""

from __future__ import annotations

import numpy as np

from ala.contracts.maps import Maps, disk_backed
from ala.utils.seeds import numpy_generator

METHODS = ("full", "center", "noise", "box")


def full(image_ids: np.ndarray) -> Maps:
    """The full image, one map for all."""
    return _maps("full", image_ids, np.ones((1, 1, 1), np.float32), binary=True)


def center(image_ids: np.ndarray, side: int) -> Maps:
    """The centred Gaussian at `side` x `side`, one map for all; mean + std selects a disc of 19 % of the image."""
    at = (np.arange(side) + 0.5) / side - 0.5  # pixel centres, 0 in the middle
    profile = np.exp(-(at**2) / (2 * 0.25**2))
    return _maps("center", image_ids, np.outer(profile, profile)[None].astype(np.float32))


def noise(image_ids: np.ndarray, grid: int, seed: int) -> Maps:
    """Uniform noise `(n, grid, grid)`; each image's map follows from `seed` and its id alone."""
    maps = [numpy_generator(seed, "noise", int(image)).random((grid, grid), np.float32) for image in image_ids]
    return _maps("noise", image_ids, np.stack(maps))


def box(image_ids: np.ndarray, boxes: np.ndarray, side: int) -> Maps:
    """Ground-truth boxes `(n, 4)` as x, y, width, height in pixels of the `side` x `side` image, filled.

    A pixel belongs to a box that covers its centre; a box thinner than a pixel keeps the pixel it lies in.
    """
    maps = disk_backed((len(image_ids), side, side))
    for filled, (x, y, width, height) in zip(maps, np.asarray(boxes, np.float64), strict=True):
        filled[:] = 0
        filled[_span(y, height, side), _span(x, width, side)] = 1
    return _maps("box", image_ids, maps, binary=True)


def _span(start: float, length: float, side: int) -> slice:
    first, last = (int(np.clip(np.ceil(edge - 0.5), 0, side)) for edge in (start, start + length))
    if first < last:
        return slice(first, last)
    nearest = int(np.clip(np.floor(start + length / 2), 0, side - 1))
    return slice(nearest, nearest + 1)


def _maps(method: str, image_ids: np.ndarray, importance: np.ndarray, binary: bool = False) -> Maps:
    return Maps(np.asarray(image_ids), importance, method, "", np.full(len(image_ids), -1), binary=binary)
