"""One look for all figures: colours that colour-blind readers can tell apart, quiet axes, reproducible files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ala.utils.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

DPI = 110
INK = "#2b2b2b"
SHADE = "#e4e9f0"
OUTLINE = "#00e5ff"  # of what a map predicts, drawn over images
_NEAR = 64  # levels in each channel; smoothed edges of an outline are less pure

#: Okabe and Ito's palette for what is learned or explained, greys for the maps made without a model.
COLOURS = {
    "ala": "#0072B2",
    "fcam": "#D55E00",
    "rise": "#009E73",
    "abn": "#CC79A7",
    "full": "#b0b0b0",
    "center": "#8c8c8c",
    "noise": "#b0b0b0",
    "box": "#4d4d4d",
    "i": "#E69F00",
    "ii": "#56B4E9",
    "iii": "#0072B2",
    "iv": "#7a7a7a",
    "lora": "#CC79A7",
    "all-taps": "#009E73",
    "half-epochs": "#D55E00",
}
#: Dashes of the maps made without a model, which share their greys.
DASHES: dict[str, Any] = {"full": (1, 1), "center": (4, 2), "noise": (1, 3), "box": (6, 2, 1, 2)}


def use() -> None:
    """Set the look; call it once before drawing. Draws to files only, no display is needed."""
    import matplotlib as mpl

    mpl.use("agg")
    import seaborn

    seaborn.set_theme(
        context="paper",
        style="ticks",
        rc={
            "axes.edgecolor": "#9a9a9a",
            "axes.grid": True,
            "axes.labelcolor": INK,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "figure.dpi": DPI,
            "font.family": "DejaVu Sans",  # it comes with matplotlib, so every machine draws the same letters
            "grid.color": "#e6e6e6",
            "grid.linewidth": 0.8,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        },
    )


def save(figure: Figure, path: Path, photos: bool = False) -> None:
    """Write `figure` as PNG, atomically; the same figure gives the same bytes (no version, no date inside).

    With `photos` it is reduced to 256 colours, which halves the file: reports are committed.
    """
    import matplotlib.pyplot as plt
    from PIL import Image

    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    with Image.open(drawn) as opened:
        image = opened.convert("RGB")
    if photos:
        image = _few_colours(image)
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", optimize=True)


def _few_colours(image: Image.Image) -> Image.Image:
    """`image` in 254 colours of its own, pure white and the outlines' colour.

    The error of a colour is spread over its neighbours, but paper stays white and outlines keep their colour, however
    little of the picture they are.
    """
    from PIL import Image

    own = 254
    palette = image.quantize(own)  # Pillow dithers only where a palette is given
    reduced = image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    indices, pixels = np.array(reduced), np.asarray(image).astype(int)
    line = [int(OUTLINE[place : place + 2], 16) for place in (1, 3, 5)]
    indices[np.abs(pixels - line).max(axis=2) < _NEAR] = own
    indices[(pixels == 255).all(axis=2)] = own + 1
    colours = (palette.getpalette() or [])[: 3 * own]
    result = Image.fromarray(indices)
    result.putpalette(colours + [0] * (3 * own - len(colours)) + line + [255] * 3)
    return result
