"""Paint a posed bird: colours on parts, feathers, light and shade."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ala.data.birdlets import texture
from ala.data.birdlets.anatomy import Pose
from ala.data.birdlets.species import COLOURS, Attributes

_HORN = np.array([[226, 140, 48], [74, 66, 60], [206, 178, 120], [150, 96, 72]])  # beaks and legs, any species


@dataclass
class Painted:
    """A bird on its own small canvas, whose top-left corner lies at (`left`, `top`) of the image.

    `rgb` is (h, w, 3), `silhouette` (all of the bird) and `trunk` (without legs) are (h, w), 0 or 255; all uint8.
    """

    rgb: np.ndarray
    silhouette: np.ndarray
    trunk: np.ndarray
    left: int
    top: int


def _coat(rng: np.random.Generator, attributes: Attributes) -> dict[str, np.ndarray]:
    """The colour of each kind of part, float (3,), with the small differences between two birds of a species."""
    head, body, wing = (
        np.array(COLOURS[name]) + rng.normal(0, 6, 3) for name in (attributes.head, attributes.body, attributes.wing)
    )
    horn = _HORN[rng.integers(len(_HORN))] + rng.normal(0, 8, 3)
    feather = wing * 0.66 if wing.sum() > 180 else wing + 46
    return {
        "tail": wing, "body": body, "belly": body * 1.06 + 9, "head": head, "crest": head, "wing": wing,
        "feather": feather, "beak": horn, "leg": horn,
        "eye": np.array([14, 12, 12]), "glint": np.array([250, 250, 250]),
    }  # fmt: skip


def _ink(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = np.clip(colour, 0, 255).astype(int).tolist()
    return red, green, blue


def paint(rng: np.random.Generator, pose: Pose, attributes: Attributes, width: int, height: int) -> Painted | None:
    """Paint `pose`, given in pixels of an image of `width` x `height`; None where no pixel of it is in the image."""
    low, high = pose.box()
    left, top = (max(0, int(value) - 2) for value in low)
    right, bottom = min(width, int(high[0]) + 3), min(height, int(high[1]) + 3)
    if right <= left or bottom <= top:
        return None
    size = (right - left, bottom - top)
    coat = _coat(rng, attributes)
    picture, silhouette = Image.new("RGB", size), Image.new("L", size)
    brush, stencil = ImageDraw.Draw(picture), ImageDraw.Draw(silhouette)
    dark_head = coat["head"].sum() < 300
    trunk = Image.new("L", size)
    trunk_stencil = ImageDraw.Draw(trunk)
    for part in pose.parts:
        colour = coat[part.kind] * part.shade
        outline = (part.points - (left, top)).ravel().tolist()
        if part.width is not None:
            thick = max(1, round(part.width))
            brush.line(outline, fill=_ink(colour), width=thick, joint="curve")
            if part.kind == "leg":
                stencil.line(outline, fill=255, width=thick, joint="curve")
            continue
        edge = None
        if part.kind in ("wing", "body", "tail"):
            edge = _ink(colour * 0.72)
        elif part.kind == "eye" and dark_head:
            edge = (205, 200, 190)
        brush.polygon(outline, fill=_ink(colour), outline=edge)
        stencil.polygon(outline, fill=255)
        trunk_stencil.polygon(outline, fill=255)

    # Light: brighter where the bird faces up, darker towards its outline, broken by feathers.
    tall, wide = size[1], size[0]
    round_off = np.asarray(silhouette.filter(ImageFilter.BoxBlur(0.05 * min(size)))).astype(np.float32)
    sideways = rng.uniform(-0.12, 0.12)
    light = (
        1.13
        - np.linspace(0, 0.3, tall, dtype=np.float32)[:, None]
        + np.linspace(-sideways, sideways, wide, dtype=np.float32)
    )
    light *= 0.62 + 0.38 / 255 * round_off
    zoom = max(1.0, max(size) / 120)
    light *= 0.93 + 0.14 / 255 * texture.crop(rng, "leafy", tall, wide, (zoom, zoom * 1.6))
    rgb = np.asarray(picture).astype(np.uint16) * (light * 128).astype(np.uint16)[:, :, None] >> 7
    return Painted(np.minimum(rgb, 255).astype(np.uint8), np.asarray(silhouette), np.asarray(trunk), left, top)
