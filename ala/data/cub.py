"""The index of a data set in CUB-200-2011 layout (METHODS 1.2)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from ala.data.lists import integers, read_list
from ala.utils.errors import UserError

LISTS = ("images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt")
OPTIONAL_LISTS = ("reflections.txt",)  # `image_id 1` where a reflection is seen, else 0; the miniature has it


@dataclass(frozen=True)
class CubIndex:
    """The content of the lists; no image is opened.

    Attributes:
        root: the folder of the lists and of `images/`.
        masks: the folder of the masks.
        classes: class names; position k is label k, which is class id k + 1.
        frame: one row per image by ascending `image_id`: `image_id` (int), `path` (relative to `images/`),
            `class_id0` (label from 0), `class_name`, `is_train` (bool), `x, y, width, height` (box in pixels of the
            image, top-left corner first), `mask_path` (relative to the masks' folder).
        excluded: ids that the lists hold and that were left out, ascending.
    """

    root: Path
    masks: Path
    classes: list[str]
    frame: pd.DataFrame
    excluded: tuple[int, ...] = ()

    def image_file(self, path: str) -> Path:
        """The file of the image that the lists call `path`."""
        return self.root / "images" / path

    def mask_file(self, path: str) -> Path:
        """The file of the mask `path`."""
        return self.masks / path


def read_cub(root: Path, exclude: Collection[int] = ()) -> CubIndex:
    """Read the lists below `root`; images are enumerated from `images.txt`, never from the folder.

    The images `exclude`, by id, are left out.

    `root` holds the lists itself or, as CUB's archives unpack, in `CUB_200_2011/`; `segmentations/` lies beside
    `images/` or one folder higher.

    Raises:
        UserError: a list is missing or damaged, lists disagree about the ids, an id or an image stands twice, two
            images would share a mask, a path leaves the folder, a label names no class, a class has no image, a box or
            a split flag makes no sense, an id of `exclude` is in no list. Of an image that is left out, nothing else is
            asked.
    """
    base = _base(Path(root))
    names = read_list(base / "images.txt", "class/photo.jpg")
    classes = _classes(base / "classes.txt")
    labels = integers(base / LISTS[2], read_list(base / LISTS[2], "class_id"))
    flags = integers(base / LISTS[3], read_list(base / LISTS[3], "is_train"))
    boxes = read_list(base / LISTS[4], "x y width height")
    _same_ids(base, LISTS[2], names, labels)
    _same_ids(base, LISTS[3], names, flags)
    _same_ids(base, LISTS[4], names, boxes)
    _exclude(base, exclude, names, labels, flags, boxes)
    _check_names(base / "images.txt", names)
    _check_labels(base, labels, classes)
    for key, flag in flags.items():
        if flag not in (0, 1):
            raise UserError(f"{base / LISTS[3]} gives photo {key} the flag {flag}, expected 1 (train) or 0 (test)")
    ids = sorted(names)
    corners = [_box(base / LISTS[4], key, boxes[key]) for key in ids]
    frame = pd.DataFrame(
        {
            "image_id": ids,
            "path": [names[key] for key in ids],
            "class_id0": [labels[key] - 1 for key in ids],
            "class_name": [classes[labels[key] - 1] for key in ids],
            "is_train": [flags[key] == 1 for key in ids],
            **{side: [box[at] for box in corners] for at, side in enumerate(("x", "y", "width", "height"))},
            "mask_path": [_mask(names[key]) for key in ids],
        }
    )
    return CubIndex(base, _masks(base), classes, frame, excluded=tuple(sorted(set(exclude))))


def _base(root: Path) -> Path:
    if not root.is_dir():
        raise UserError(f"data folder {root} does not exist; name the folder that holds images.txt and images/")
    nested = root / "CUB_200_2011"
    return nested if not (root / "images.txt").exists() and (nested / "images.txt").exists() else root


def _masks(base: Path) -> Path:
    inside, beside = base / "segmentations", base.parent / "segmentations"
    return beside if beside.is_dir() and not inside.is_dir() else inside


def _mask(name: str) -> str:
    """The mask's path of an image's."""
    return str(PurePosixPath(name).with_suffix(".png"))


def _exclude(base: Path, exclude: Collection[int], names: dict[int, str], *others: dict[int, Any]) -> None:
    """Take the images `exclude` out of all lists."""
    unknown = sorted(set(exclude) - set(names))
    if unknown:
        raise UserError(
            f"data.exclude names image {unknown[0]}, which {base / 'images.txt'} does not hold"
            f" ({_such(len(unknown), 'id')}); take it out of data.exclude"
        )
    for found in (names, *others):
        for key in exclude:
            found.pop(key, None)
    if not names:
        raise UserError(f"data.exclude names all images of {base / 'images.txt'}; leave some in")


def _classes(path: Path) -> list[str]:
    found = read_list(path, "class_name")
    if sorted(found) != list(range(1, len(found) + 1)):
        missing = min(set(range(1, len(found) + 1)) - set(found))
        raise UserError(f"{path} has {len(found)} classes but no class {missing}; class ids must run 1..{len(found)}")
    owner: dict[str, int] = {}
    for key in sorted(found):
        if owner.setdefault(found[key], key) != key:
            raise UserError(
                f"{path} names class {key} {found[key]!r} like class {owner[found[key]]}; rename one of them"
            )
    return list(owner)


def _same_ids(base: Path, file: str, names: Mapping[int, str], ids: Iterable[int]) -> None:
    other = set(ids)
    for have, lack, gone in (("images.txt", file, set(names) - other), (file, "images.txt", other - set(names))):
        if gone:
            raise UserError(
                f"{base / have} has photo {min(gone)}, {base / lack} has not ({_such(len(gone), 'id')});"
                " copy both lists from the same data set"
            )


def _check_names(path: Path, names: Mapping[int, str]) -> None:
    owner: dict[str, int] = {}
    for key, name in names.items():
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or not pure.name or "\0" in name:
            raise UserError(f"{path} gives photo {key} the path {name!r}, expected a path inside images/; correct it")
        if owner.setdefault(str(pure), key) != key:
            raise UserError(f"{path} gives photos {owner[str(pure)]} and {key} the same path {name!r}; remove one")
    masks: dict[str, int] = {}
    for key, name in names.items():
        other = masks.setdefault(_mask(name), key)
        if other != key:
            raise UserError(
                f"{path} gives images {other} ({names[other]}) and {key} ({name}) the same mask, {_mask(name)}; rename"
                " one image and give it a mask of its own"
            )


def _check_labels(base: Path, labels: Mapping[int, int], classes: list[str]) -> None:
    for key, label in labels.items():
        if not 1 <= label <= len(classes):
            raise UserError(
                f"{base / 'image_class_labels.txt'} gives photo {key} the class {label}, but classes.txt has"
                f" 1..{len(classes)}; correct the label"
            )
    empty = sorted(set(range(1, len(classes) + 1)) - set(labels.values()))
    if empty:
        raise UserError(
            f"{base / 'classes.txt'} has class {empty[0]} ({classes[empty[0] - 1]}), but no photo carries it"
            f" ({_such(len(empty), 'class', 'classes')}); add its photos or remove the class"
        )


def _box(path: Path, key: int, text: str) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = (float(part) for part in text.split())
        good = all(map(math.isfinite, (x, y, width, height))) and width > 0 and height > 0
    except ValueError:
        good = False
    if not good:
        raise UserError(f"{path} gives photo {key} the box {text!r}, expected `x y width height` with sides above 0")
    return x, y, width, height


def _such(count: int, one: str, many: str | None = None) -> str:
    return f"{count} such {one if count == 1 else many or one + 's'}"
