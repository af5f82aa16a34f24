"""Coarse insertion and deletion: larger steps, with a bound on what that does to the mean area.

The curve with k times larger steps passes through every k-th point of the fine one, so a pilot with fine steps on a few
images gives the error of all coarser ones without another forward pass. The bound is the far end of the 95 % confidence
interval of the mean error, |mean| + t s / sqrt(n), with the pilot's n images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ala.metrics.curves import Curves, area

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Coarse:
    """Steps `factor` times as large, and the bounds on the error of the mean area that the pilot gives for them."""

    factor: int
    insertion_bound: float
    deletion_bound: float

    @property
    def bound(self) -> float:
        """The larger of the two."""
        return max(self.insertion_bound, self.deletion_bound)


def coarser(curves: np.ndarray, factor: int) -> np.ndarray:
    """Curves `(n, T + 1)` through every `factor`-th point: `(n, T / factor + 1)`.

    Raises:
        ValueError: `factor` does not divide T.
    """
    steps = curves.shape[1] - 1
    if factor < 1 or steps % factor:
        raise ValueError(f"{factor} does not divide {steps} steps")
    return curves[:, ::factor]


def error_bound(curves: np.ndarray, factor: int) -> float:
    """Of the mean area, from a pilot's fine curves `(n, T + 1)`, n at least 2."""
    errors = area(coarser(curves, factor)) - area(curves)  # (n,)
    n = len(errors)
    width = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * errors.std(ddof=1) / np.sqrt(n)
    return float(abs(errors.mean()) + width)


def choose(pilot: Curves, tolerance: float) -> Coarse:
    """The coarsest steps whose bounds, for insertion and deletion, are at most `tolerance`; factor 1 has bound 0.

    Args:
        pilot: fine curves of at least two images, drawn at random from those that will be scored.
        tolerance: of the error of the mean area.

    Raises:
        ValueError: the pilot has fewer than two images.
    """
    if len(pilot.insertion) < 2:
        raise ValueError("a pilot needs at least two photos")
    steps = pilot.insertion.shape[1] - 1
    factors = [factor for factor in range(1, steps + 1) if steps % factor == 0]
    tried = [Coarse(k, error_bound(pilot.insertion, k), error_bound(pilot.deletion, k)) for k in factors]
    return max((one for one in tried if one.bound <= tolerance), key=lambda one: one.factor)
