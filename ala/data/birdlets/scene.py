"""One image of one bird: setting, pose, place, reflection, occluders, light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ala.data.birdlets import plumage, scenery
from ala.data.birdlets.anatomy import Pose, pose
from ala.data.birdlets.species import SETTINGS, Attributes

_FLYING = {"forest": 0.04, "water": 0.06, "sky": 0.4, "reeds": 0.03, "gravel": 0.03}


@dataclass
class Scene:
    """A drawing before it becomes an image.

    `image` is RGB. `silhouette` is the whole bird, hidden parts too, `trunk` the same without its legs, and
    `occluders` is what hangs in front of it: all mode L of the image's size, 0 or 255.
    """

    image: Image.Image
    silhouette: Image.Image
    trunk: Image.Image
    occluders: Image.Image
    setting: str
    reflected: bool


def image_shape(rng: np.random.Generator, longer: int) -> tuple[int, int]:
    """Width and height of an image whose longer side is `longer`: mostly landscape, as in CUB."""
    shorter = round(longer * rng.uniform(0.64, 0.85))
    return (longer, shorter) if rng.random() < 0.72 else (shorter, longer)


def box_share(rng: np.random.Generator) -> float:
    """The wanted share of the image that the bird's box fills; spread as in CUB (mean 0.35, median 0.32)."""
    return float(np.clip(np.exp(rng.normal(np.log(0.35), 0.46)), 0.07, 0.9))


def _placed(rng: np.random.Generator, made: Pose, width: int, height: int, room: float) -> Pose:
    """Scale a pose to a random share of the image and move it to a random place; `room` is the height it may use."""
    low, high = made.box()
    wide, tall = high - low
    usable = height * room
    scale = np.sqrt(box_share(rng) * width * height / (wide * tall))
    scale = min(scale, 0.97 * min(width / wide, usable / tall))
    slack = np.array([width - scale * wide, usable - scale * tall])
    corner = slack * rng.beta(1.6, 1.6, 2)
    if rng.random() < 0.06:  # the photographer cut off a part
        cut = scale * wide * rng.uniform(0.05, 0.16)
        corner[0] = -cut if rng.random() < 0.5 else slack[0] + cut
    return made.moved(np.eye(2) * scale, corner - low * scale)


def _reflect(rng: np.random.Generator, canvas: np.ndarray, bird: plumage.Painted, surface: int) -> None:
    """Mirror the bird at row `surface` of `canvas` (H, W, 3), dimmer with depth and rippled; in place."""
    height, width = canvas.shape[:2]
    depth = min(height - surface, surface - bird.top, bird.rgb.shape[0])
    if depth < 2:
        return
    rows = np.clip(surface - bird.top - 1 - np.arange(depth), 0, bird.rgb.shape[0] - 1)
    wave = np.arange(depth) / max(height, width)
    shift = max(height, width) * rng.uniform(0.004, 0.012) * np.sin(wave * rng.uniform(90, 160) + rng.uniform(0, 6))
    columns = np.arange(bird.left, bird.left + bird.rgb.shape[1]) - bird.left
    columns = columns[None] + np.rint(shift).astype(int)[:, None]
    inside = (columns >= 0) & (columns < bird.rgb.shape[1])
    columns = np.clip(columns, 0, bird.rgb.shape[1] - 1)
    mirror = bird.rgb[rows[:, None], columns]  # (depth, w, 3)
    there = (bird.silhouette[rows[:, None], columns] > 0) & inside
    opacity = there * np.linspace(rng.uniform(0.65, 0.85), 0.35, depth)[:, None]
    water = canvas[surface : surface + depth, bird.left : bird.left + bird.rgb.shape[1]]
    mixed = water * (1 - opacity[:, :, None]) + 0.78 * mirror * opacity[:, :, None]
    water[:] = mixed.astype(np.uint8)


def _lit(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Change exposure, contrast and tint of an image at random."""
    gain = rng.uniform(0.84, 1.12) * (1 + rng.normal(0, 0.025, 3))
    levels = np.arange(256)
    tables = [np.clip(128 + (levels - 128) * rng.uniform(0.92, 1.06), 0, 255) * g for g in gain]
    return image.point(np.clip(np.concatenate(tables), 0, 255).astype(np.uint8).tolist())


def draw_scene(
    rng: np.random.Generator, attributes: Attributes, width: int, height: int, clutter: float = 1.0
) -> Scene:
    """Draw a bird with `attributes` somewhere in a random setting, `width` x `height` pixels, not smoothed.

    `clutter` (0..1) is the share of decoys and of twigs in front; the data set has all of them.
    """
    setting = list(SETTINGS)[rng.integers(len(SETTINGS))]
    horizon = rng.uniform(0.12, 0.4)
    reflected = setting == "water" and rng.random() < 0.6
    flying = not reflected and rng.random() < _FLYING[setting]
    image = scenery.backdrop(rng, setting, width, height, horizon, clutter)
    made = _placed(
        rng, pose(rng, attributes.crest, flying), width, height, rng.uniform(0.62, 0.74) if reflected else 1.0
    )
    low, high = made.box()
    size = float(np.max(high - low))
    if made.feet is not None and not reflected:
        scenery.perch(rng, image, setting, made.feet, size)
    bird = plumage.paint(rng, made, attributes, width, height)
    silhouette, trunk, occluders = (Image.new("L", (width, height)) for _ in range(3))
    if bird is not None:
        if reflected:
            canvas = np.array(image)
            _reflect(rng, canvas, bird, min(height, int(high[1])))
            image = Image.fromarray(canvas)
        stencil = Image.fromarray(bird.silhouette)
        image.paste(Image.fromarray(bird.rgb), (bird.left, bird.top), stencil)
        silhouette.paste(stencil, (bird.left, bird.top))
        trunk.paste(Image.fromarray(bird.trunk), (bird.left, bird.top))
    if rng.random() < 0.4 * clutter:
        scenery.occlude(rng, [(ImageDraw.Draw(image), True), (ImageDraw.Draw(occluders), False)], low, high)
    return Scene(_lit(rng, image), silhouette, trunk, occluders, setting, reflected)
