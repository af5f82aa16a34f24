"""Bicubic interpolation, one cell after the other."""

from __future__ import annotations

import numpy as np


def cubic(x: float) -> float:
    """The kernel of bicubic interpolation with a = -0.75, as torch has it."""
    x, a = abs(x), -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def bicubic_reference(grid: np.ndarray, grid_size: int) -> np.ndarray:
    """(h, h, C) to (side, side, C): 16 neighbours, half-pixel centres, edges repeated, no antialias."""
    h = len(grid)
    out = np.zeros((grid_size, grid_size, grid.shape[2]))
    for r in range(grid_size):
        for c in range(grid_size):
            y, x = (r + 0.5) * h / grid_size - 0.5, (c + 0.5) * h / grid_size - 0.5
            for i in range(int(np.floor(y)) - 1, int(np.floor(y)) + 3):
                for j in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
                    out[r, c] += cubic(y - i) * cubic(x - j) * grid[np.clip(i, 0, h - 1), np.clip(j, 0, h - 1)]
    return out
