"""Captioned drawings for the contrastive pre-training of the miniature's encoder."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ala.config.schema import Birdlets
from ala.data.birdlets.scene import draw_scene, photo_shape
from ala.data.birdlets.species import attribute_space, caption, species
from ala.runtime.progress import track
from ala.runtime.seeds import numpy_generator

_SPACE = attribute_space()
_KNOWN = 0.8  # share of drawings that show a species of the data set; the others show any bird


def draw_pair(rng: np.random.Generator, size: int, settings: Birdlets) -> tuple[np.ndarray, str]:
    """One drawing, uint8 RGB (size, size, 3), and a caption for it.

    Most drawings show a species of the data set, as a CLIP has met most birds before; the others any of the 240
    possible birds. They are drawn as the data set's photos are and squeezed to a square as they are. The caption names
    all traits, and now and then the setting.
    """
    known = species(settings)
    kinds = [one.attributes for one in known] if rng.random() < _KNOWN else _SPACE
    attributes = kinds[rng.integers(len(kinds))]
    longer_side = round(size * rng.uniform(1.8, 2.2))
    scene = draw_scene(rng, attributes, *photo_shape(rng, longer_side), settings.clutter)
    pixels = np.array(scene.image.resize((size, size), Image.Resampling.BILINEAR))
    return pixels, caption(attributes, scene.setting if rng.random() < 0.35 else None)


def draw_pairs(n: int, size: int, seed: int, settings: Birdlets) -> tuple[np.ndarray, list[str]]:
    """`n` drawings, uint8 RGB (n, size, size, 3), and their captions; pair i depends on `seed` and i only."""
    pixels = np.empty((n, size, size, 3), np.uint8)
    captions = []
    for i in track(range(n), "drawing captioned birdlets", unit="photo"):
        pixels[i], words = draw_pair(numpy_generator(seed, "birdlets", "pair", i), size, settings)
        captions.append(words)
    return pixels, captions
