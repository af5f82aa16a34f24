"""Order the pixels of a map by importance: who comes first, and how many are shown after each step (METHODS 5.1)."""

from __future__ import annotations

import numpy as np

from ala.utils.seeds import numpy_generator


def shown_pixels(image_size: int, step: int, reference_size: int | None = None) -> np.ndarray:
    """Count the pixels changed after 0, 1, ..., T steps: int64 `(T + 1,)`, from 0 to S * S.

    `step` counts pixels of an image of size `reference_size` (default `image_size`), T = ceil(reference_size^2 / step).
    A model with another input size changes the same shares of its own pixels, so that all curves have T + 1 points.
    """
    reference = (reference_size or image_size) ** 2
    steps = -(-reference // step)
    changed = np.minimum(np.arange(steps + 1) * step, reference)
    return np.rint(changed * (image_size * image_size / reference)).astype(np.int64)


def order(importance: np.ndarray, image_id: int, seed: int) -> np.ndarray:
    """Rank the pixels of one map `(S, S)` from the most to the least important: int64 `(S * S,)` of flat indices.

    Equal values are ordered by a permutation drawn from `seed` and `image_id` alone.
    """
    values = importance.reshape(-1)
    shuffled = numpy_generator(seed, "ties", image_id).permutation(values.size)
    return shuffled[falling_order(values[shuffled])]


def falling_order(values: np.ndarray) -> np.ndarray:
    """Stably sort `(P,)` finite float32 values from the largest to the smallest: their indices, int64.

    The result equals a stable argsort of the negated values, in a tenth of its time. A float's bits, read as an
    integer, increase with it if it is positive and decrease if it is negative, and numpy sorts 16-bit integers by radix
    sort. So the lower half of the bits is sorted first, then, stably, the upper half.
    """
    bits = (np.float32(0) - values.astype(np.float32, copy=False)).view(np.uint32)  # 0 - v: there is no -0
    rising = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    by_lower = np.argsort(rising.astype(np.uint16), kind="stable")
    upper = (rising >> 16).astype(np.uint16)
    return by_lower[np.argsort(upper[by_lower], kind="stable")]


def tie_share(ordered: np.ndarray) -> float:
    """Compute the share of pixels whose value occurs more than once; `(P,)` values in the order of :func:`order`."""
    equal = ordered[1:] == ordered[:-1]  # to the next one
    tied = np.concatenate([equal, [False]]) | np.concatenate([[False], equal])
    return float(tied.mean())
