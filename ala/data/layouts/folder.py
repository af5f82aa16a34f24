"""The layout of a plain folder: one folder of images per class, masks beside the images or in a tree of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ala.config.schema import Data
from ala.data.index import Entry, Index
from ala.utils.errors import UserError

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})
TREES = ("masks", "segmentations")
SUFFIX = "_mask"  # of a mask beside its image: bird.jpg, bird_mask.png

Split = Literal["train", "test"]


class Folder:
    """`CLASS/IMAGE`, or `train/CLASS/IMAGE` and `test/CLASS/IMAGE`, below `root` or `root/images`.

    The mask of `CLASS/bird.jpg` is `CLASS/bird_mask.png` beside it or `masks/CLASS/bird.png` (also `segmentations/`),
    with `train/` or `test/` before it where the images have that, too, and with any ending of an image. There are no
    boxes. Ids number classes and images from 1 in the order of their names, so they change when files are added.
    """

    def read(self, root: Path, settings: Data) -> Index:
        """List the folders.

        Raises:
            UserError: there is no class folder, one holds no image, an image lies in none, or only one of `train` and
                `test` exists.
        """
        base = root / "images" if (root / "images").is_dir() else root
        tree = next((root / name for name in TREES if (root / name).is_dir()), None)
        found: list[tuple[str, str, Split | None, str | None]] = []  # class, image, split, mask
        for split, top in _tops(base):
            for folder in _folders(top, tree):
                images, beside = _files(folder)
                if not images:
                    raise UserError(f"class folder {folder} holds no images; add some or remove it")
                masks = beside if tree is None else _files(tree / folder.relative_to(base))[0]
                for stem, image in images:
                    mask = next((file for name, file in masks if name == stem), None)
                    found.append((
                        folder.name, image.relative_to(base).as_posix(), split,
                        None if mask is None else mask.relative_to(tree or base).as_posix(),
                    ))  # fmt: skip
        classes = {name: key for key, name in enumerate(sorted({row[0] for row in found}), start=1)}
        return Index(
            images=base,
            masks=tree or base,
            classes={key: name for name, key in classes.items()},
            entries=[
                Entry(key, path, classes[name], split, mask)
                for key, (name, path, split, mask) in enumerate(sorted(found, key=lambda row: row[1]), start=1)
            ],
            listing=root,
        )


def _tops(base: Path) -> list[tuple[Split | None, Path]]:
    """The folders of class folders, by split."""
    splits: list[tuple[Split | None, Path]] = [("train", base / "train"), ("test", base / "test")]
    there = [top.is_dir() for _, top in splits]
    if all(there):
        return splits
    if any(there):
        have, lack = ("train", "test") if there[0] else ("test", "train")
        raise UserError(
            f"{base} has a folder {have} but no folder {lack}; add it, or put all class folders into {base} itself"
        )
    return [(None, base)]


def _folders(top: Path, tree: Path | None) -> list[Path]:
    """The class folders in `top`, sorted by name."""
    inside = sorted(path for path in top.iterdir() if not path.name.startswith("."))
    loose = [path for path in inside if path.suffix.lower() in IMAGES and path.is_file()]
    if loose:
        raise UserError(f"image {loose[0]} lies in no class folder; put each image into a folder of its class's name")
    folders = [path for path in inside if path.is_dir() and path != tree]
    if not folders:
        raise UserError(f"{top} holds no folders, expected one of images per class; name the folder of a data set")
    return folders


def _files(folder: Path) -> tuple[list[tuple[str, Path]], list[tuple[str, Path]]]:
    """Images and masks beside them, each as (stem of the image, file), by name; those of a missing folder are none."""
    if not folder.is_dir():
        return [], []
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES and path.name[0] != ".")
    stems = {path.stem for path in files}
    beside = [
        (path.stem.removesuffix(SUFFIX), path)
        for path in files
        if path.stem.endswith(SUFFIX) and path.stem.removesuffix(SUFFIX) in stems
    ]
    masks = {path for _, path in beside}
    return [(path.stem, path) for path in files if path not in masks], beside
