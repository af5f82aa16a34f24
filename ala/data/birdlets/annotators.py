"""Five people outline the same bird; their votes become grey levels (METHODS 1.3)."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from ala.data.birdlets import texture

ANNOTATORS = 5
LEVEL = 255 // ANNOTATORS  # one vote


def votes(rng: np.random.Generator, silhouette: Image.Image, trunk: Image.Image, occluders: Image.Image) -> np.ndarray:
    """The grey mask of an image, uint8 (h, w), multiples of 51.

    Each annotator draws a border that is a little too wide or too tight and wavers; some leave out the thin legs, and
    most cut out what hangs in front of the bird.

    Args:
        rng: generator of this image.
        silhouette: the whole bird, mode L, 0..255 = share of the pixel covered.
        trunk: the same without legs.
        occluders: what hides the bird, likewise.
    """
    width, height = silhouette.size
    total = np.zeros((height, width), np.uint8)
    hidden = np.asarray(occluders) > 127
    legs_out, keeps_hidden = rng.random((2, ANNOTATORS)) < np.array([[0.35], [0.2]])
    blur, threshold = rng.uniform(0.4, 1.6, ANNOTATORS), 127 + rng.normal(0, 22, ANNOTATORS).clip(-50, 50)
    for k in range(ANNOTATORS):
        outline = (trunk if legs_out[k] else silhouette).filter(ImageFilter.GaussianBlur(float(blur[k])))
        waver = texture.crop(rng, "leafy", height, width, (0.9, 0.9)).astype(np.int16) - 128
        marked = np.asarray(outline) + waver * 0.3 > threshold[k]
        if not keeps_hidden[k]:
            marked &= ~hidden
        total += marked
    return total * np.uint8(LEVEL)
