"""Decode images and masks: orientation, levels, palettes, transparency (METHODS 1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from ala.config.schema import Data

_ORIENTATION = 0x0112  # of EXIF: 1 is upright, 2 to 8 are the other seven turns and mirrors


@dataclass(frozen=True)
class Reading:
    """The settings that decide how images and masks are read.

    Attributes:
        threshold: without `object_levels`, the object is where the level exceeds it.
        object_levels: the object is where the level is one of these; None: see `threshold`.
        background_levels: levels that are background whatever the threshold says; with `object_levels`, a level that
            neither names is refused, but for 0.
        orientation: whether masks and boxes belong to the pixels as stored or as the EXIF tag shows them; None: an
            image that is stored turned is refused.
    """

    threshold: int
    object_levels: tuple[int, ...] | None
    background_levels: tuple[int, ...]
    orientation: Literal["stored", "shown"] | None

    @classmethod
    def of(cls, data: Data) -> Reading:
        """What the `data` block of a profile says."""
        objects = None if data.object_levels is None else tuple(data.object_levels)
        return cls(data.mask_threshold, objects, tuple(data.background_levels), data.orientation)

    def oriented(self, image: Image.Image) -> Image.Image:
        """The image turned as its EXIF tag says if `orientation` is `shown`, else as it is stored."""
        return ImageOps.exif_transpose(image) if self.orientation == "shown" and turn(image) != 1 else image

    def levels(self, mask: Image.Image) -> np.ndarray:
        """The levels of a mask as they are in the file, uint8 `(h, w)`.

        Grey levels; with `object_levels`, a mask with a palette gives its indices, which tools for segmentation call
        labels, and not the greys of its colours.
        """
        if self.object_levels is not None and mask.mode in ("P", "PA"):
            return np.asarray(mask.getchannel(0))
        return np.asarray(mask.convert("L"))

    def votes(self, levels: np.ndarray) -> np.ndarray:
        """Levels as shares of annotators times 255, uint8 of the same shape.

        Object levels become 255 and background levels 0. Without `object_levels` all others stay as they are.
        """
        table = np.arange(256, dtype=np.uint8) if self.object_levels is None else np.zeros(256, dtype=np.uint8)
        table[list(self.object_levels or ())] = 255
        table[list(self.background_levels)] = 0
        return table[levels]

    def unnamed(self) -> np.ndarray:
        """Which levels nothing is said of, boolean `(256,)`."""
        named = (*(self.object_levels or ()), *self.background_levels, 0)
        return ~np.isin(np.arange(256), named)


def turn(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; 1 as well where there is no tag or it means nothing.

    Raises:
        ValueError: the EXIF data are damaged.
    """
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, EOFError) as error:
        raise ValueError(f"its EXIF data are damaged: {error}") from error
    return found if found in range(2, 9) else 1


def alpha_of(image: Image.Image) -> np.ndarray | None:
    """The alpha channel, uint8 `(h, w)`; None where the image is opaque everywhere."""
    if not image.has_transparency_data:
        return None
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return alpha if alpha.min() < 255 else None


def reduced(votes: np.ndarray, size: int) -> np.ndarray:
    """A mask `(h, w)` uint8 at `size` x `size` by nearest neighbour."""
    return np.asarray(Image.fromarray(votes).resize((size, size), Image.Resampling.NEAREST))
