"""A twin of CUB-200-2011: drawn birds under its lists, in the layout of its two archives.

For tests and rehearsals: every count, name and path is CUB's, no pixel is.
"""

from __future__ import annotations

import multiprocessing
import tarfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ala.config.schema import Birdlets
from ala.data.birdlets import Species, species
from ala.data.birdlets.dataset import draw_image
from ala.data.layouts.cub import read_cub
from ala.utils.seeds import numpy_generator

GREYSCALE = 8  # images of CUB without colour; each has a stray duplicate NAME_rgb.jpg that no list names
SIDES = (64, 80)  # pixels of the longer side; CUB's images have up to 500
_FEWER = {106, 125, 134, 140, 189, 195}  # classes, from 0, with 29 training images instead of 30
_KINDS = Birdlets(species=200, train_per_species=30, test_per_species=30, clutter=0.3, seed=11)


def draw_twin(
    out: Path, images_per_class: int | None = None, lists: Path | None = None, classes: int = 200, workers: int = 2
) -> pd.DataFrame:
    """Draw the twin into the new folder `out`: `CUB_200_2011/`, `segmentations/` and `attributes.txt`.

    Args:
        out: where the two archives would be unpacked.
        images_per_class: this many of each class, training and test images in turn; None for CUB's numbers.
        lists: a folder with the genuine lists; without it, names and flags are made up.
        classes: how many without `lists`.
        workers: processes that draw; the bytes do not depend on their number.

    Returns:
        one row per image: `image_id`, `path`, `class_id0`, `is_train`.
    """
    if lists is None:
        frame, names = _made_up(classes, images_per_class)
    else:
        index = read_cub(lists)
        names = index.names
        rows = [(one.image_id, one.path, one.class_id - 1, one.split == "train") for one in index.entries]
        frame = pd.DataFrame(rows, columns=["image_id", "path", "class_id0", "is_train"])
        if images_per_class is not None:
            frame = _some(frame, images_per_class)
    base = Path(out) / "CUB_200_2011"
    for path in {str(Path(path).parent) for path in frame["path"]}:
        (base / "images" / path).mkdir(parents=True)
        (Path(out) / "segmentations" / path).mkdir(parents=True)
    grey = set(frame["path"].iloc[:: max(1, len(frame) // GREYSCALE)].head(GREYSCALE))
    jobs = [
        (Path(out), [(path, path in grey) for path in group["path"]], int(str(label)))
        for label, group in frame.groupby("class_id0")
    ]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        boxes = {path: box for drawn in pool.map(_draw_class, jobs) for path, box in drawn.items()}
    images = list(frame.itertuples(index=False))
    _write(base / "images.txt", (f"{row.image_id} {row.path}" for row in images))
    _write(base / "image_class_labels.txt", (f"{row.image_id} {row.class_id0 + 1}" for row in images))
    _write(base / "train_test_split.txt", (f"{row.image_id} {int(row.is_train)}" for row in images))
    # The only list that is never CUB's own: its boxes would lie outside the small images.
    _write(base / "bounding_boxes.txt", (f"{row.image_id} {boxes[row.path]}" for row in images))
    _write(base / "classes.txt", (f"{number} {name}" for number, name in enumerate(names, start=1)))
    _write(Path(out) / "attributes.txt", ["1 has_bill_shape::drawn"])
    return frame


def pack_twin(tree: Path, folder: Path) -> tuple[Path, Path]:
    """Pack what :func:`draw_twin` drew as CUB is packed; the two archives, which are the same for the same tree."""
    folder.mkdir(parents=True, exist_ok=True)
    birds, masks = folder / "CUB_200_2011.tgz", folder / "segmentations.tgz"
    for archive, members in ((birds, ("attributes.txt", "CUB_200_2011")), (masks, ("segmentations",))):
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
            for member in members:
                tar.add(tree / member, member, filter=_anonymous)
    return birds, masks


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _write(file: Path, lines: Iterable[str]) -> None:
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _made_up(classes: int, images: int | None) -> tuple[pd.DataFrame, list[str]]:
    """Images of birdlet species, two of three for training; without `images`, as many of each kind as CUB has."""
    names = [one.folder for one in species(_KINDS.model_copy(update={"species": classes}))]
    rows = []
    for label, name in enumerate(names):
        # CUB: 5,994 training images, 30 of a class or 29 of six; 5,794 test images, here nearly even
        counts = (
            (30 - (label in _FEWER), 29 - (label >= 194))
            if images is None
            else (images - max(1, images // 3), max(1, images // 3))
        )
        for shot in range(sum(counts)):
            rows.append((len(rows) + 1, f"{name}/{name[4:]}_{shot + 1:04d}.jpg", label, shot < counts[0]))
    return pd.DataFrame(rows, columns=["image_id", "path", "class_id0", "is_train"]), names


def _some(frame: pd.DataFrame, images: int) -> pd.DataFrame:
    """`images` of each class, training and test images in turn, numbered again."""
    place = frame.groupby(["class_id0", "is_train"]).cumcount() * 2 + ~frame["is_train"]
    nth = place.groupby(frame["class_id0"]).rank(method="first")
    chosen = frame[nth <= images].reset_index(drop=True)
    return chosen.assign(image_id=np.arange(1, len(chosen) + 1))


def _draw_class(job: tuple[Path, list[tuple[str, bool]], int]) -> dict[str, str]:
    """Draw the images and masks of one class; the boxes as lines of a list."""
    out, paths, label = job
    one: Species = species(_KINDS)[label]
    boxes = {}
    for path, grey in paths:
        image = draw_image(numpy_generator(_KINDS.seed, "twin", path), one, _KINDS.clutter, SIDES)
        file = out / "CUB_200_2011" / "images" / path
        if grey:
            image.image.convert("L").save(file, quality=85)
            image.image.convert("L").convert("RGB").save(file.with_name(f"{file.stem}_rgb.jpg"), quality=85)
        else:
            image.image.save(file, quality=85)
        Image.fromarray(image.mask).save((out / "segmentations" / path).with_suffix(".png"), compress_level=1)
        boxes[path] = " ".join(f"{value:.1f}" for value in image.box)
    return boxes
