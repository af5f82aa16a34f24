"""Refine finished maps by their images: the edge fix and two alternatives (METHODS 6).

Each takes maps float32 `(n, S, S)` in [0, 1] and their RGB images uint8 `(n, S, S, 3)`, and gives :class:`Fixed`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ala.config.schema import Edge
from ala.explainers.edge import attended, grey, threshold


@dataclass(frozen=True)
class Fixed:
    """The result of a fix.

    Attributes:
        importance: float32 `(n, S, S)`, the fixed maps.
        foreground: boolean `(n, S, S)`, their predictions.
    """

    importance: np.ndarray
    foreground: np.ndarray


def original(maps: np.ndarray, images: np.ndarray) -> Fixed:
    """Return the unchanged maps with the threshold mean + standard deviation."""
    return Fixed(maps, maps > threshold(maps))


def edge(maps: np.ndarray, images: np.ndarray, kappa: float, settings: Edge) -> Fixed:
    """Set regions that a map attends to too little to 0; the threshold is that of the original map."""
    stays = np.stack([attended(one, image, kappa, settings) for one, image in zip(maps, grey(images), strict=True)])
    return _only(stays, maps)


def largest(maps: np.ndarray, images: np.ndarray) -> Fixed:
    """Set maps to 0 outside the 4-connected part of the prediction with the map's maximum (the first of equals).

    A map without a prediction, a constant one, stays as it is.
    """
    from scipy.ndimage import label

    stays = maps > threshold(maps)
    for row, predicted in enumerate(stays):
        if not predicted.any():
            stays[row] = True
            continue
        parts, _ = label(predicted)
        stays[row] = parts == parts.ravel()[maps[row].argmax()]
    return _only(stays, maps)


def guided(maps: np.ndarray, images: np.ndarray, radius: int, eps: float) -> Fixed:
    """Filter maps by the guided filter with their grey images; the threshold is the result's mean + standard deviation.

    Args:
        maps: as above.
        images: as above.
        radius: of the square window, of width 2 * radius + 1 pixels.
        eps: variance of grey levels in [0, 1] below which a window counts as flat.
    """
    filtered = [guided_filter(one, image / 255, radius, eps) for one, image in zip(maps, grey(images), strict=True)]
    importance = np.stack(filtered).astype(np.float32)
    return Fixed(importance, importance > threshold(importance))


def guided_filter(importance: np.ndarray, guide: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """A map `(S, S)`, in each window a linear function of the guide `(S, S)` (He, Sun and Tang 2013): float64.

    Windows are cut off at the border of the image.
    """
    from scipy.ndimage import uniform_filter

    window = 2 * radius + 1
    inside = uniform_filter(np.ones(guide.shape), window, mode="constant")  # the share of a window within the image

    def mean(values: np.ndarray) -> np.ndarray:
        found: np.ndarray = uniform_filter(values.astype(np.float64), window, mode="constant") / inside
        return found

    guide_mean, map_mean = mean(guide), mean(importance)
    slope = (mean(guide * importance) - guide_mean * map_mean) / (mean(guide * guide) - guide_mean**2 + eps)
    return mean(slope) * guide + mean(map_mean - slope * guide_mean)


def _only(stays: np.ndarray, maps: np.ndarray) -> Fixed:
    importance = np.where(stays, maps, np.float32(0))
    return Fixed(importance, importance > threshold(maps))
