"""One look for all figures: colours that colour-blind readers can tell apart, quiet axes, reproducible files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

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

#: Colours that colour-blind readers can tell apart, those of Okabe and Ito first: in figures, and on the page in its
#: light and its dark theme.
PALETTE = (
    ("#0072B2", "#0072b2", "#5cb8ee"),
    ("#D55E00", "#bf4d00", "#ff935a"),
    ("#009E73", "#00795a", "#3fcda0"),
    ("#CC79A7", "#a8438a", "#e79fcb"),
    ("#E69F00", "#8f6500", "#e8b84f"),
    ("#56B4E9", "#2f79a8", "#9bd4f5"),
    ("#7A4FC0", "#7a4fc0", "#c3a6ff"),
)
#: Of maps made without a model, which share their greys and differ in their dashes.
GREYS = (
    ("#b0b0b0", "#6b6f76", "#a6acb6"), ("#8c8c8c", "#6b6f76", "#a6acb6"),
    ("#b0b0b0", "#6b6f76", "#a6acb6"), ("#4d4d4d", "#6b6f76", "#a6acb6"),
)  # fmt: skip
DASHES: tuple[tuple[int, ...], ...] = ((1, 1), (4, 2), (1, 3), (6, 2, 1, 2), (3, 1), (2, 2, 6, 2))


@dataclass(frozen=True)
class Look:
    """Colours of a row in figures and on the page's light and dark theme; `dash` is on, off, ... in line widths, or
    empty for a whole line; `index` tells rows apart on the page."""

    index: int
    figure: str
    light: str
    dark: str
    dash: tuple[int, ...] = ()

    @property
    def css(self) -> str:
        """The rule of its class `s-INDEX`."""
        dash = f" --dash: {' '.join(str(2 * part) for part in self.dash)};" if self.dash else ""
        return f".s-{self.index} {{ --colour: light-dark({self.light}, {self.dark});{dash} }}"


def looks(rows: Mapping[str, tuple[str, str]]) -> dict[str, Look]:
    """Looks by name of a row, from the row's kind and method.

    Explainers have the first colours in their order, rows of the ablation the next ones, except for one that shows the
    method of a row before it: it has the same colour. Rows of the ablation are dashed; after all colours were given,
    other dashes tell rows apart.
    """
    found: dict[str, Look] = {}
    by_method: dict[str, Look] = {}
    used: Counter[bool] = Counter()  # colours by whether they are greys
    for name, (kind, method) in sorted(rows.items(), key=lambda row: row[1][0] == "ablation"):
        if method not in by_method:
            grey = kind == "baseline"
            colours = GREYS if grey else PALETTE
            turn, place = divmod(used[grey], len(colours))
            pattern = used[grey] if grey else turn + (kind == "ablation")  # 0: a whole line, but for greys
            dash = DASHES[pattern % len(DASHES)] if grey or pattern else ()
            by_method[method] = Look(len(by_method), *colours[place], dash)
            used[grey] += 1
        found[name] = by_method[method]
    return found


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


def save(figure: Figure, path: Path, images: bool = False) -> None:
    """Write `figure` as PNG, atomically; the same figure gives the same bytes (no version, no date inside).

    With `images` it is reduced to 256 colours, which halves the file: reports are committed.
    """
    import matplotlib.pyplot as plt
    from PIL import Image

    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    with Image.open(drawn) as opened:
        image = opened.convert("RGB")
    if images:
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
