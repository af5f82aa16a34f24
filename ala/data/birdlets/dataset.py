"""Write the drawn miniature as CUB-200-2011 is written (METHODS 1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ala.config.schema import Birdlets
from ala.data.birdlets.annotators import LEVEL, votes
from ala.data.birdlets.scene import draw_scene, image_shape
from ala.data.birdlets.species import Species, species
from ala.utils.errors import UserError
from ala.utils.files import atomic_folder
from ala.utils.progress import track
from ala.utils.seeds import numpy_generator

_FINER = 2  # drawn this much larger, then averaged down: smooth edges
_MAJORITY = LEVEL * 3
_GREY_SHARE = 0.01


@dataclass
class DrawnImage:
    """A finished image: `image` RGB, `mask` uint8 (h, w) grey, `box` x, y, width, height in pixels."""

    image: Image.Image
    mask: np.ndarray
    box: tuple[int, int, int, int]
    reflected: bool


def draw_image(
    rng: np.random.Generator, one: Species, clutter: float, longer_side: tuple[int, int] = (96, 160)
) -> DrawnImage:
    """One image of a species with its mask and box; its longer side has `longer_side` pixels, least and most."""
    while True:  # a majority must have seen the bird
        width, height = image_shape(rng, int(rng.integers(longer_side[0], longer_side[1] + 1)))
        scene = draw_scene(rng, one.attributes, width * _FINER, height * _FINER, clutter)
        image, silhouette, trunk, occluders = (
            layer.reduce(_FINER) for layer in (scene.image, scene.silhouette, scene.trunk, scene.occluders)
        )
        mask = votes(rng, silhouette, trunk, occluders)
        if (mask >= _MAJORITY).sum() >= 60:
            break
    grain = rng.integers(-5, 6, (height, width, 1), dtype=np.int16)  # the noise of a camera
    noisy = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
    rows, columns = np.nonzero(np.asarray(silhouette) > 127)
    left, top, right, bottom = (int(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    return DrawnImage(Image.fromarray(noisy), mask, (left, top, right - left, bottom - top), scene.reflected)


def _train_numbers(settings: Birdlets, species_number: int) -> set[int]:
    """Which images of a species, counted from 0, are official training images."""
    rng = numpy_generator(settings.seed, "birdlets", "train", species_number)
    order = rng.permutation(settings.train_per_species + settings.test_per_species)
    return set(order[: settings.train_per_species].tolist())


def draw_dataset(root: Path, settings: Birdlets) -> None:
    """Draw the whole miniature into the folder `root`, which appears only when it is complete.

    Every image has a generator of its own, named by class and number, so the bytes depend on `settings` alone.
    Besides CUB's files there is `reflections.txt` (`image_id 1` where the bird is mirrored in water, else 0). As in
    CUB, some images are greyscale and each of those has a stray `_rgb.jpg` beside it that no list names.

    Args:
        root: birdlets drawn there earlier are replaced.
        settings: how many species and images, and the seed.

    Raises:
        UserError: `root` holds something else, which is not to be deleted.
    """
    root = Path(root)
    if root.exists() and not (root.is_dir() and (not any(root.iterdir()) or (root / "reflections.txt").is_file())):
        raise UserError(f"{root} exists and holds something else than birdlets; move it away or choose another folder")
    kinds = species(settings)
    each = settings.train_per_species + settings.test_per_species
    total = len(kinds) * each
    chooser = numpy_generator(settings.seed, "birdlets", "greyscale")
    grey = set(chooser.choice(total, max(1, round(_GREY_SHARE * total)), replace=False).tolist())
    train = {one.number: _train_numbers(settings, one.number) for one in kinds}
    lists: dict[str, list[str]] = {
        name: [] for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes", "reflections")
    }
    with atomic_folder(root) as folder:
        for one in kinds:
            (folder / "images" / one.folder).mkdir(parents=True)
            (folder / "segmentations" / one.folder).mkdir(parents=True)
        for i in track(range(total), "drawing birdlets", unit="image"):
            one, number = kinds[i // each], i % each
            drawn = draw_image(numpy_generator(settings.seed, "birdlets", one.number, number), one, settings.clutter)
            stem = f"{one.name}_{number + 1:04d}_{i + 1}"
            file = folder / "images" / one.folder / f"{stem}.jpg"
            if i in grey:
                plain = drawn.image.convert("L")
                plain.save(file, quality=90)
                plain.convert("RGB").save(file.with_name(f"{stem}_rgb.jpg"), quality=90)
            else:
                drawn.image.save(file, quality=90)
            Image.fromarray(drawn.mask).save(folder / "segmentations" / one.folder / f"{stem}.png")
            lists["images"].append(f"{i + 1} {one.folder}/{stem}.jpg")
            lists["image_class_labels"].append(f"{i + 1} {one.number}")
            lists["train_test_split"].append(f"{i + 1} {int(number in train[one.number])}")
            lists["bounding_boxes"].append(f"{i + 1} " + " ".join(f"{value:.1f}" for value in drawn.box))
            lists["reflections"].append(f"{i + 1} {int(drawn.reflected)}")
        lists["classes"] = [f"{one.number} {one.folder}" for one in kinds]
        for name, lines in lists.items():
            (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
