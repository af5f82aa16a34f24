"""Images as JPEG, maps and masks as small grey PNG, all in base64: the page's pictures, bytes alone."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from ala.contracts.maps import Maps
from ala.metrics import iou
from ala.report.gallery import MAP_COLOURS

IMAGE_SIZE, MAP_SIZE, MASK_SIZE = 160, 80, 80  # pixels at most
QUALITY = 85  # of JPEG


def image(pixels: np.ndarray) -> str:
    """An RGB image uint8 `(S, S, 3)` as JPEG."""
    image = Image.fromarray(pixels)
    if max(image.size) > IMAGE_SIZE:
        image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)
    return _saved(image, format="JPEG", quality=QUALITY, optimize=True)


def mask(foreground: np.ndarray) -> str:
    """A boolean mask `(S, S)` as PNG of one bit per pixel."""
    image = _at_most(Image.fromarray(foreground.astype(np.uint8) * 255), MASK_SIZE)
    half = image.point(lambda level: 255 if level > 127 else 0)
    return _saved(half.convert("1", dither=Image.Dither.NONE), format="PNG", optimize=True)


def heat(maps: Maps, row: int) -> str:
    """Map `row` of `maps` as PNG of 8 bits, at its own resolution where that is small.

    It is scaled to its own range, unless its values have a meaning of their own: as the threshold rules see it.
    """
    values = np.asarray(maps.importance[row : row + 1])  # (1, h, w)
    scaled = values if maps.calibrated or maps.binary else iou.min_max(values)
    levels = np.round(scaled[0].clip(0, 1) * 255).astype(np.uint8)
    return _saved(_at_most(Image.fromarray(levels), MAP_SIZE), format="PNG", optimize=True)


def colours() -> str:
    """The colours of grey levels 0 to 255, three bytes each; the report's figures use the same."""
    import matplotlib as mpl

    table = np.round(mpl.colormaps[MAP_COLOURS](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)  # (256, 3)
    return base64.b64encode(table.tobytes()).decode()


def _at_most(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, size), Image.Resampling.BOX) if max(image.size) > size else image


def _saved(image: Image.Image, **options: Any) -> str:
    file = BytesIO()
    image.save(file, **options)
    return base64.b64encode(file.getvalue()).decode()
