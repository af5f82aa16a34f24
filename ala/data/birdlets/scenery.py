"""Where a bird is seen: five settings, their clutter, and what hangs in front of the bird.

Clutter uses the birds' own colours, so that a colour somewhere in an image says nothing about the species. Nothing here
depends on which species is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ala.data.birdlets import texture
from ala.data.birdlets.species import COLOURS

_PALETTE = np.array(list(COLOURS.values()), float)
_T = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_RAY = np.stack([np.cos(_T), np.sin(_T)], axis=1)
_BLOB = _RAY[::2]
_BLOSSOM = _RAY * (1 + 0.28 * np.cos(5 * _T))[:, None]
_LEAF = np.stack([np.cos(_T[::2]), 0.42 * np.sin(_T[::2]) * (1 - 0.35 * np.cos(_T[::2]))], axis=1)
_BUTTERFLY = np.array(
    [
        [0, 0],
        [0.5, -0.9],
        [1, -0.8],
        [0.8, -0.1],
        [0.6, 0.7],
        [0, 0.1],
        [-0.6, 0.7],
        [-0.8, -0.1],
        [-1, -0.8],
        [-0.5, -0.9],
    ]
)

Brushes = Sequence[tuple[ImageDraw.ImageDraw, bool]]  # a drawing surface, and whether it takes colour (else 255)

_FOLIAGE = np.array(
    [
        [[18, 34, 20], [48, 84, 38], [110, 142, 62], [196, 208, 130]],  # summer
        [[40, 28, 18], [112, 70, 32], [178, 120, 48], [226, 186, 110]],  # autumn
        [[22, 40, 40], [62, 92, 84], [128, 150, 128], [205, 212, 190]],  # shade
        [[48, 50, 48], [110, 112, 104], [164, 166, 160], [222, 222, 216]],  # winter
    ],
    float,
)
_SKIES = np.array(
    [
        [[70, 120, 200], [120, 165, 222], [205, 222, 238], [248, 248, 246]],  # fair
        [[120, 128, 138], [158, 164, 170], [196, 199, 202], [232, 232, 230]],  # overcast
        [[86, 72, 120], [186, 110, 120], [236, 164, 112], [252, 222, 170]],  # dusk
        [[150, 170, 150], [196, 204, 170], [226, 220, 186], [246, 240, 220]],  # haze
    ],
    float,
)
_WATERS = np.array(
    [
        [[22, 52, 92], [50, 92, 138], [98, 140, 176], [178, 204, 220]],
        [[30, 50, 42], [62, 92, 74], [112, 138, 112], [188, 200, 176]],
        [[52, 54, 58], [98, 102, 106], [142, 146, 150], [206, 208, 208]],
        [[72, 52, 40], [128, 98, 72], [176, 146, 112], [228, 206, 170]],
    ],
    float,
)
_GROUNDS = np.array(
    [
        [[58, 54, 50], [110, 104, 98], [156, 150, 142], [208, 202, 194]],
        [[80, 58, 40], [140, 108, 78], [184, 154, 118], [226, 202, 168]],
        [[48, 52, 40], [92, 98, 70], [136, 140, 104], [190, 190, 152]],
        [[84, 62, 60], [140, 106, 100], [178, 150, 142], [220, 202, 196]],
    ],
    float,
)


def _pick(rng: np.random.Generator, tables: np.ndarray) -> np.ndarray:
    """Draw a colour table (4, 3): a mixture of two of `tables`."""
    first, second = rng.integers(len(tables), size=2)
    share = rng.random()
    return tables[first] * share + tables[second] * (1 - share)


def stamp(
    brushes: Brushes, shape: np.ndarray, centres: np.ndarray, radii: np.ndarray, angles: np.ndarray, inks: np.ndarray
) -> None:
    """Draw `shape` (P, 2) n times: at `centres` (n, 2), with `radii` (n, 2), `angles` (n,), and `inks` (n, 3)."""
    c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
    x, y = shape[:, 0] * radii[:, :1], shape[:, 1] * radii[:, 1:]  # (n, P)
    points = np.stack([x * c - y * s + centres[:, :1], x * s + y * c + centres[:, 1:]], axis=2)
    colours = np.clip(inks, 0, 255).astype(int).tolist()
    for outline, ink in zip(points.reshape(len(points), -1).tolist(), colours, strict=True):
        for brush, coloured in brushes:
            brush.polygon(outline, fill=tuple(ink) if coloured else 255)


def strokes(brushes: Brushes, points: np.ndarray, widths: np.ndarray, inks: np.ndarray) -> None:
    """Draw n lines through `points` (n, P, 2)."""
    colours = np.clip(inks, 0, 255).astype(int).tolist()
    for path, width, ink in zip(points.reshape(len(points), -1).tolist(), widths.tolist(), colours, strict=True):
        for brush, coloured in brushes:
            brush.line(path, fill=tuple(ink) if coloured else 255, width=max(1, round(width)), joint="curve")


def _spots(rng: np.random.Generator, n: int, width: int, height: int) -> np.ndarray:
    """Draw n random places (n, 2) in or just outside of the image."""
    return rng.uniform(-0.03, 1.03, (n, 2)) * (width, height)


def _decoys(
    rng: np.random.Generator, brushes: Brushes, width: int, height: int, clutter: float, top: float = 0.0
) -> None:
    """Blossoms, pebbles, butterflies and leaves in two of the birds' colours each, below the share `top`.

    `clutter` (0..1) is the share of the usual number.
    """
    unit = max(width, height)
    for shape, most, small, large in (
        (_BLOSSOM, 3, 0.03, 0.085),
        (_RAY, 4, 0.025, 0.115),
        (_BUTTERFLY, 2, 0.035, 0.085),
        (_LEAF, 3, 0.05, 0.14),
    ):
        n = round(int(rng.integers(0, most + 1)) * clutter)
        if not n:
            continue
        centres = rng.uniform((0, top), (1, 1), (n, 2)) * (width, height)
        radii = unit * rng.uniform(small, large, (n, 1)) * rng.uniform(0.75, 1.0, (n, 2))
        angles = rng.uniform(0, 2 * np.pi, n) if shape is not _BUTTERFLY else rng.normal(0, 0.4, n)
        inks = _PALETTE[rng.integers(len(_PALETTE), size=(2, n))] * rng.uniform(0.7, 1.1, (2, n, 1))
        stamp(brushes, shape, centres, radii, angles, inks[0] * 0.8)
        stamp(brushes, shape, centres - radii * 0.08, radii * 0.88, angles, inks[0])
        stamp(brushes, _RAY, centres, radii * rng.uniform(0.25, 0.5, (n, 1)), angles, inks[1])


def _blurred(table: np.ndarray, levels: np.ndarray, width: int, height: int) -> Image.Image:
    """Colours for `levels` through `table`, enlarged to the image: a far, unsharp layer."""
    return Image.fromarray(texture.ramp(table)[levels]).resize((width, height), Image.Resampling.BILINEAR)


def _branches(
    rng: np.random.Generator, brushes: Brushes, n: int, width: int, height: int, thin: float, thick: float
) -> None:
    """Bent branches across the image."""
    unit = max(width, height)
    start = _spots(rng, n, width, height)
    angle = rng.uniform(0, 2 * np.pi, (n, 1)) + np.cumsum(rng.normal(0, 0.22, (n, 5)), axis=1)
    steps = unit * 0.28 * np.stack([np.cos(angle), np.sin(angle)], axis=2)
    points = start[:, None] - steps[:, :1] * 2 + np.cumsum(steps, axis=1)
    ink = np.array([84, 66, 50]) * rng.uniform(0.5, 1.5, (n, 1)) + rng.normal(0, 6, (n, 3))
    widths = unit * rng.uniform(thin, thick, n)
    strokes(brushes, points, widths, ink * 0.7)
    strokes(brushes, points - widths.mean() * 0.15, widths * 0.6, ink)


def _forest(rng: np.random.Generator, width: int, height: int, clutter: float) -> Image.Image:
    table = _pick(rng, _FOLIAGE)
    zoom = rng.uniform(1.5, 3.5)
    image = _blurred(table, texture.crop(rng, "leafy", height // 4, width // 4, (zoom, zoom)), width, height)
    brushes = [(ImageDraw.Draw(image), True)]
    _branches(rng, brushes, int(rng.integers(1, 4)), width, height, 0.008, 0.03)
    n = int(rng.integers(18, 46))
    unit = max(width, height)
    size = unit * rng.uniform(0.02, 0.07, (n, 1)) * np.array([1.0, 0.8])
    tones = texture.ramp(table)[rng.integers(60, 256, n)] + rng.normal(0, 10, (n, 3))
    stamp(brushes, _LEAF, _spots(rng, n, width, height), size, rng.uniform(0, 2 * np.pi, n), tones)
    _decoys(rng, brushes, width, height, clutter)
    return image


def _sky(rng: np.random.Generator, width: int, height: int, clutter: float) -> Image.Image:
    tall, wide = height // 2, width // 2
    zoom = rng.uniform(0.5, 1.0)
    clouds = texture.crop(rng, "cloud", tall, wide, (zoom, zoom * 1.7)).astype(np.float32)
    down = np.linspace(0, 255, tall, dtype=np.float32)[:, None] * rng.uniform(0.2, 0.5)
    levels = np.clip(clouds * rng.uniform(0.35, 0.8) + down, 0, 255).astype(np.uint8)
    image = _blurred(_pick(rng, _SKIES), levels, width, height)
    brushes = [(ImageDraw.Draw(image), True)]
    if rng.random() < 0.7:
        _branches(rng, brushes, int(rng.integers(1, 4)), width, height, 0.004, 0.012)
    _decoys(rng, brushes, width, height, clutter)
    return image


def _reeds(rng: np.random.Generator, width: int, height: int, clutter: float) -> Image.Image:
    table = _pick(rng, np.concatenate([_FOLIAGE, _WATERS]))
    levels = texture.crop(rng, "leafy", height // 3, width // 3, (rng.uniform(4, 8), 1.5))
    image = _blurred(table, levels, width, height)
    brushes = [(ImageDraw.Draw(image), True)]
    _decoys(rng, brushes, width, height, clutter)
    _stems(rng, brushes, int(rng.integers(14, 30)), width, height, texture.ramp(table))
    return image


def _stems(rng: np.random.Generator, brushes: Brushes, n: int, width: int, height: int, table: np.ndarray) -> None:
    """Stalks that rise from the lower edge, some with a seed head."""
    unit = max(width, height)
    foot = np.stack([rng.uniform(-0.05, 1.05, n) * width, np.full(n, height * 1.02)], axis=1)
    tip = np.stack([foot[:, 0] + rng.normal(0, 0.09, n) * width, rng.uniform(-0.1, 0.7, n) * height], axis=1)
    bend = (foot + tip) / 2 + np.stack([rng.normal(0, 0.02, n) * width, np.zeros(n)], axis=1)
    tones = table[rng.integers(70, 256, n)] + rng.normal(0, 10, (n, 3))
    strokes(brushes, np.stack([foot, bend, tip], axis=1), unit * rng.uniform(0.004, 0.014, n), tones)
    heads = rng.random(n) < 0.25
    if heads.any():
        size = unit * np.array([0.011, 0.045]) * rng.uniform(0.7, 1.2, (int(heads.sum()), 1))
        stamp(brushes, _BLOB, tip[heads], size, rng.normal(0, 0.15, len(size)), tones[heads] * 0.55)


def _water(rng: np.random.Generator, width: int, height: int, clutter: float, horizon: float) -> Image.Image:
    shore = max(2, round(height * horizon))
    far = texture.crop(rng, "cloud", max(2, shore // 3), width // 3, (0.6, 1.2))
    image = Image.new("RGB", (width, height))
    image.paste(_blurred(_pick(rng, np.concatenate([_SKIES, _FOLIAGE])), far, width, shore))
    tall = height - shore
    levels = texture.crop(rng, "leafy", max(2, tall // 2), width // 2, (1.2, rng.uniform(7, 12))).astype(np.float32)
    levels = levels * 0.62 + np.linspace(96, 0, len(levels), dtype=np.float32)[:, None]
    table = _pick(rng, _WATERS)
    image.paste(_blurred(table, np.clip(levels, 0, 255).astype(np.uint8), width, tall), (0, shore))
    brushes = [(ImageDraw.Draw(image), True)]
    bank = int(rng.integers(6, 16))
    size = max(width, height) * rng.uniform(0.02, 0.06, (bank, 1)) * np.array([1.6, 1.0])
    centres = np.stack([rng.uniform(0, width, bank), np.full(bank, shore) - size[:, 1] * 0.4], axis=1)
    stamp(brushes, _RAY, centres, size, np.zeros(bank), texture.ramp(_pick(rng, _FOLIAGE))[rng.integers(0, 200, bank)])
    pads = int(rng.integers(0, 7))
    if pads:
        radii = max(width, height) * rng.uniform(0.02, 0.06, (pads, 1)) * np.array([1.0, 0.35])
        places = np.stack([rng.uniform(0, width, pads), rng.uniform(shore, height, pads)], axis=1)
        stamp(brushes, _RAY, places, radii, np.zeros(pads), np.array([60, 110, 60]) * rng.uniform(0.6, 1.4, (pads, 1)))
    _decoys(rng, brushes, width, height, clutter, top=horizon)
    return image


def _gravel(rng: np.random.Generator, width: int, height: int, clutter: float) -> Image.Image:
    table = _pick(rng, _GROUNDS)
    image = _blurred(table, texture.crop(rng, "leafy", height // 2, width // 2, (1.0, 1.6)), width, height)
    brushes = [(ImageDraw.Draw(image), True)]
    n = int(rng.integers(25, 55))
    unit = max(width, height)
    centres = _spots(rng, n, width, height)
    centres = centres[np.argsort(centres[:, 1])]
    radii = unit * rng.uniform(0.01, 0.045, (n, 1)) * np.array([1.2, 0.85]) * (0.5 + 0.7 * centres[:, 1:] / height)
    tones = texture.ramp(table)[rng.integers(40, 256, n)] + rng.normal(0, 9, (n, 3))
    stamp(brushes, _BLOB, centres + radii * 0.12, radii * 1.08, np.zeros(n), tones * 0.5)
    stamp(brushes, _BLOB, centres, radii, rng.normal(0, 0.3, n), tones)
    _decoys(rng, brushes, width, height, clutter)
    return image


def backdrop(
    rng: np.random.Generator, setting: str, width: int, height: int, horizon: float, clutter: float
) -> Image.Image:
    """An RGB image of `setting` without a bird.

    `horizon` (share of the height) matters on the water only; `clutter` (0..1) is the share of colourful decoys.
    """
    if setting == "water":
        return _water(rng, width, height, clutter, horizon)
    return {"forest": _forest, "sky": _sky, "reeds": _reeds, "gravel": _gravel}[setting](rng, width, height, clutter)


def perch(rng: np.random.Generator, image: Image.Image, setting: str, feet: np.ndarray, size: float) -> None:
    """Put something under the feet of a bird whose outline is `size` pixels long."""
    brushes = [(ImageDraw.Draw(image), True)]
    width = image.width
    if setting in ("forest", "sky", "reeds"):
        slope = rng.normal(0, 0.12)
        xs = np.array([-0.1 * width, feet[0] - size * 0.3, feet[0], feet[0] + size * 0.35, 1.1 * width])
        ys = (
            feet[1]
            + (xs - feet[0]) * slope
            + np.array([rng.normal(0, 0.1) * size, 0.0, 0.0, 0.0, rng.normal(0, 0.1) * size])
        )
        thick = size * (rng.uniform(0.05, 0.1) if setting == "forest" else rng.uniform(0.02, 0.05))
        ink = np.array([[92, 72, 54]]) * rng.uniform(0.6, 1.4) + rng.normal(0, 6, 3)
        path = np.stack([xs, ys + thick * 0.4], axis=1)[None]
        strokes(brushes, path, np.array([thick]), ink * 0.65)
        strokes(brushes, path - [0, thick * 0.15], np.array([thick * 0.6]), ink)
    else:
        ink = np.array([[110, 106, 100]]) * rng.uniform(0.6, 1.3) + rng.normal(0, 8, 3)
        wide = size * rng.uniform(0.3, 0.5)
        under = np.array([[feet[0], feet[1] + wide * 0.12]])
        if setting == "water" or rng.random() < 0.4:
            radii = np.array([[wide, wide * 0.26]])
            stamp(brushes, _RAY, under + np.array([0.0, wide * 0.08]), radii, np.zeros(1), ink * 0.55)
            stamp(brushes, _RAY, under, radii * 0.96, np.zeros(1), ink)
        else:  # a shadow on the ground
            stamp(brushes, _RAY, under, np.array([[wide, wide * 0.2]]), np.zeros(1), ink * 0.45)


def occlude(rng: np.random.Generator, brushes: Brushes, low: np.ndarray, high: np.ndarray) -> None:
    """Twigs with leaves, or stalks, in front of a bird whose box runs from `low` to `high` (2,)."""
    size = float(np.max(high - low))
    n = int(rng.integers(1, 3))
    through = rng.uniform(low + 0.15 * (high - low), high - 0.15 * (high - low), (n, 2))
    if rng.random() < 0.5:
        angle = rng.uniform(-0.7, 0.7, (n, 1)) + rng.normal(0, 0.12, (n, 4))
    else:
        angle = np.pi / 2 + rng.uniform(-0.3, 0.3, (n, 1)) + rng.normal(0, 0.05, (n, 4))
    steps = size * 0.55 * np.stack([np.cos(angle), np.sin(angle)], axis=2)
    points = np.cumsum(steps, axis=1)
    points = points - points[:, 1:2] + through[:, None]
    ink = (np.array([80, 62, 44]) if rng.random() < 0.6 else np.array([74, 104, 48])) * rng.uniform(0.6, 1.4, (n, 1))
    strokes(brushes, points, size * rng.uniform(0.018, 0.035, n), ink)
    leaves = int(rng.integers(2, 6))
    places = (
        points[rng.integers(n, size=leaves), rng.integers(4, size=leaves)] + rng.normal(0, 0.12, (leaves, 2)) * size
    )
    green = np.array([70, 112, 48]) * rng.uniform(0.5, 1.6, (leaves, 1)) + rng.normal(0, 14, (leaves, 3))
    gaudy = _PALETTE[rng.integers(len(_PALETTE), size=leaves)] * rng.uniform(0.7, 1.0, (leaves, 1))
    tones = np.where(rng.random((leaves, 1)) < 0.35, gaudy, green)
    radii = size * rng.uniform(0.04, 0.085, (leaves, 1)) * np.ones(2)
    stamp(brushes, _LEAF, places, radii, rng.uniform(0, 2 * np.pi, leaves), tones)
