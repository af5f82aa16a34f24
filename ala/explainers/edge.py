"""Segment an image into regions between its edges, and find those that a map attends to (METHODS 6; slide 36).

The slides say only "use edge detection to extract object boundaries and remove the regions with low attention". The
steps here are ours: Canny edges (Canny 1986) with thresholds from the image's median, grown a little; regions are what
lies between them; a region stays if the map's mean on it is large enough. Pixels are only removed, so the fix can mend
over-attention and nothing else. Contours are rarely closed: where object and background are connected, they are kept or
removed together.
"""

from __future__ import annotations

import numpy as np

from ala.config.schema import Edge

#: Of the 5 x 5 Gaussian: 0.3 * ((5 - 1) / 2 - 1) + 0.8, the rule by which OpenCV gives a kernel its sigma.
SIGMA = 1.1
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601


def grey(images: np.ndarray) -> np.ndarray:
    """Convert RGB images, uint8 `(n, S, S, 3)`, to grey levels, float64 `(n, S, S)` in [0, 255]."""
    return np.asarray(images) @ _LUMA


def threshold(maps: np.ndarray) -> np.ndarray:
    """Compute mean + standard deviation of each map `(n, S, S)`, float64 `(n, 1, 1)`: the main rule of METHODS 5.4."""
    exact = maps.astype(np.float64)
    return np.asarray(exact.mean(axis=(1, 2), keepdims=True) + exact.std(axis=(1, 2), keepdims=True))


def edges(image: np.ndarray, settings: Edge) -> np.ndarray:
    """Detect the edges of a grey image `(S, S)` in [0, 255]: boolean `(S, S)`.

    Canny after a 5 x 5 Gaussian, with thresholds `low` and `high` times the median of the smoothed image on the
    Sobel gradient's length, then grown by a square of width `dilate`.
    """
    from scipy.ndimage import binary_dilation, gaussian_filter
    from skimage.feature import canny

    smooth = gaussian_filter(image, SIGMA, truncate=2 / SIGMA, mode="nearest")  # two pixels to each side
    median = float(np.median(smooth))
    thin = canny(smooth, 0, settings.low * median, settings.high * median, mode="nearest")
    grown: np.ndarray = binary_dilation(thin, np.ones((settings.dilate, settings.dilate), dtype=bool))
    return grown


def regions(between: np.ndarray, tiny: float) -> np.ndarray:
    """Label the region that each pixel belongs to, int64 `(S, S)` from 0.

    Regions are the 4-connected components of what lies `between` the edges, boolean `(S, S)`. Those below `tiny` of
    the image are dissolved; their pixels, like those of the edges, belong to the nearest region that is left. Where
    none is left, the whole image is one region.
    """
    from scipy.ndimage import distance_transform_edt, label

    parts, _ = label(between)
    large = np.bincount(parts.ravel()) >= tiny * between.size
    large[0] = False  # the edges
    if not large.any():
        return np.zeros(between.shape, dtype=np.int64)
    _, nearest = distance_transform_edt(~large[parts], return_indices=True)
    _, owner = np.unique(parts[tuple(nearest)], return_inverse=True)
    return owner.reshape(between.shape).astype(np.int64)


def attended(importance: np.ndarray, image: np.ndarray, kappa: float, settings: Edge) -> np.ndarray:
    """Find the pixels in regions that the map attends to: boolean `(S, S)`.

    A region stays if the map's mean over it, edges left out, is at least `kappa` times the map's mean + standard
    deviation. Edge pixels follow the nearest region.

    Args:
        importance: a map `(S, S)` in [0, 1].
        image: grey `(S, S)` in [0, 255].
        kappa: above 0; larger values remove more.
        settings: the block `edge`.
    """
    between = ~edges(image, settings)
    owner = regions(between, settings.tiny)
    weight = between if between.any() else np.ones_like(between)  # an image all of edges
    count = np.bincount(owner.ravel(), weight.ravel())
    attention = np.bincount(owner.ravel(), (importance * weight).ravel().astype(np.float64)) / count
    stays: np.ndarray = attention >= kappa * threshold(importance[None])[0, 0, 0]
    return stays[owner]
