"""Noise that is computed once and then cropped: leaves, clouds and feathers for the price of a copy."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from ala.utils.seeds import numpy_generator

FIELD_SIZE = 768  # of a stored noise field, pixels
# name: cells along a side of each octave, coarse to fine; each octave counts less than the one before it
_OCTAVES = {"soft": (6, 12, 24), "cloud": (8, 16, 32, 64, 128), "leafy": (48, 96, 192), "grain": (256, 768)}


@cache
def field(kind: str) -> np.ndarray:
    """A read-only noise field, uint8 (FIELD_SIZE, FIELD_SIZE), levels spread evenly over 0..255.

    Args:
        kind: `soft` (slow changes), `cloud` (all scales), `leafy` (blots of some pixels) or `grain` (pixel noise).
    """
    rng = numpy_generator(0, "birdlets", "noise", kind)  # the same for all data sets: it is paint, not content
    total = np.zeros((FIELD_SIZE, FIELD_SIZE), np.float32)
    for level, cells in enumerate(_OCTAVES[kind]):
        coarse = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
        total += 0.6**level * np.asarray(coarse.resize((FIELD_SIZE, FIELD_SIZE), Image.Resampling.BICUBIC))
    order = np.empty(total.size, np.int64)
    order[np.argsort(total, axis=None, kind="stable")] = np.arange(total.size)
    levels = (order * 256 // total.size).astype(np.uint8).reshape(FIELD_SIZE, FIELD_SIZE)
    levels.setflags(write=False)
    return levels


def crop(
    rng: np.random.Generator, kind: str, height: int, width: int, zoom: tuple[float, float] = (1, 1)
) -> np.ndarray:
    """A random piece of a field, uint8 (height, width), enlarged by `zoom` (down, across)."""
    tall, wide = max(2, round(height / zoom[0])), max(2, round(width / zoom[1]))
    top, left = rng.integers(0, (FIELD_SIZE - tall + 1, FIELD_SIZE - wide + 1))
    piece = field(kind)[top : top + tall, left : left + wide]
    if (tall, wide) == (height, width):
        return piece
    return np.asarray(Image.fromarray(piece).resize((width, height), Image.Resampling.BILINEAR))


def ramp(stops: np.ndarray) -> np.ndarray:
    """A table uint8 (256, 3) that runs evenly through the colours `stops` (n, 3)."""
    positions = np.linspace(0, 255, len(stops))
    levels = np.arange(256)
    return np.stack([np.interp(levels, positions, stops[:, c]) for c in range(3)], axis=1).astype(np.uint8)
