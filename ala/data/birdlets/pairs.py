"""Captioned drawings for the contrastive pre-training of the miniature's encoder."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context

import numpy as np
from PIL import Image

from ala.config.schema import Birdlets
from ala.data.birdlets.scene import draw_scene, image_shape
from ala.data.birdlets.species import attribute_space, caption, species
from ala.data.parallel import workers
from ala.utils.progress import track
from ala.utils.seeds import numpy_generator

_SPACE = attribute_space()
_KNOWN = 0.8  # share of drawings that show a species of the data set; the others show any bird
_PIECE = 50  # pairs that a process draws at a time
_MANY = 1000  # pairs; for fewer, processes take longer to start than they save


def draw_pair(rng: np.random.Generator, size: int, settings: Birdlets) -> tuple[np.ndarray, str]:
    """One drawing, uint8 RGB (size, size, 3), and a caption for it.

    Most drawings show a species of the data set, as a CLIP has met most birds before; the others any of the 240
    possible birds. They are drawn as the data set's images are and squeezed to a square as they are. The caption names
    all traits, and now and then the setting.
    """
    known = species(settings)
    kinds = [one.attributes for one in known] if rng.random() < _KNOWN else _SPACE
    attributes = kinds[rng.integers(len(kinds))]
    longer_side = round(size * rng.uniform(1.8, 2.2))
    scene = draw_scene(rng, attributes, *image_shape(rng, longer_side), settings.clutter)
    pixels = np.array(scene.image.resize((size, size), Image.Resampling.BILINEAR))
    return pixels, caption(attributes, scene.setting if rng.random() < 0.35 else None)


def draw_pairs(n: int, size: int, seed: int, settings: Birdlets) -> tuple[np.ndarray, list[str]]:
    """`n` drawings, uint8 RGB (n, size, size, 3), and their captions; pair i depends on `seed` and i only.

    Many are drawn by as many processes as there are cores: drawing is Python, which threads do not speed up.
    """
    pixels = np.empty((n, size, size, 3), np.uint8)
    captions: list[str] = []
    pieces = [range(first, min(n, first + _PIECE)) for first in range(0, n, _PIECE)]
    draw = partial(_draw, size=size, seed=seed, settings=settings)
    several = workers() > 1 and n >= _MANY
    with ProcessPoolExecutor(workers(), get_context("spawn")) if several else nullcontext() as pool:
        drawn = pool.map(draw, pieces) if pool is not None else map(draw, pieces)
        for piece, (some, words) in zip(
            track(pieces, "drawing captioned birdlets", unit=f"{_PIECE} images"), drawn, strict=True
        ):
            pixels[piece.start : piece.stop] = some
            captions += words
    return pixels, captions


def _draw(numbers: range, size: int, seed: int, settings: Birdlets) -> tuple[np.ndarray, list[str]]:
    """Draw the pairs with these numbers."""
    pairs = [draw_pair(numpy_generator(seed, "birdlets", "pair", i), size, settings) for i in numbers]
    return np.stack([pixels for pixels, _ in pairs]), [words for _, words in pairs]
