"""The layout of CUB-200-2011: five text lists, `images/` and `segmentations/` (METHODS 1.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from ala.config.schema import Data
from ala.data.index import Box, Entry, Index, such
from ala.utils.errors import UserError

LISTS = ("images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt")
EXTRAS = ("reflections.txt",)  # `image_id 1` where a reflection is seen, else 0; the miniature has it
_ID = re.compile(r"[0-9]{1,18}", re.ASCII)  # fits int64


class Cub:
    """Lists of images, classes, labels, split and boxes; masks named like the images."""

    def read(self, root: Path, settings: Data) -> Index:
        """Read the lists; images are enumerated from `images.txt`, never from the folder.

        `root` holds the lists itself or, as CUB's archives unpack, in `CUB_200_2011/`; `segmentations/` lies beside
        `images/` or one folder higher. Of the images `settings.exclude` only the ids are read.

        Raises:
            UserError: a list is missing or damaged, lists disagree about the ids, a label, a split flag or a box makes
                no sense.
        """
        return read_cub(root, settings.exclude)


def read_cub(root: Path, exclude: Iterable[int] = ()) -> Index:
    """Read the lists of :class:`Cub` below `root`, without the images `exclude`."""
    base = _base(root)
    files = images, classes, labels, flags, boxes = [base / name for name in LISTS]
    lines = {
        file: read_list(file, value)
        for file, value in zip(
            files, ("class/photo.jpg", "class_name", "class_id", "is_train", "x y width height"), strict=True
        )
    }
    for file in (labels, flags, boxes):
        _same_ids(images, file, lines[images], lines[file])
    kept = [key for key in sorted(lines[images]) if key not in set(exclude)]
    entries = [
        Entry(
            key,
            path := lines[images][key],
            _label(labels, key, lines[labels][key], lines[classes]),
            "train" if _flag(flags, key, lines[flags][key]) else "test",
            str(PurePosixPath(path).with_suffix(".png")) if PurePosixPath(path).name else None,
            (_box(boxes, key, lines[boxes][key]),),
        )
        for key in kept
    ]
    inside, beside = base / "segmentations", base.parent / "segmentations"
    return Index(
        images=base / "images",
        masks=beside if beside.is_dir() and not inside.is_dir() else inside,
        classes=lines[classes],
        entries=entries,
        listing=images,
        class_list=classes,
        box_list=boxes,
        extras=tuple(base / name for name in EXTRAS if (base / name).is_file()),
        excluded=tuple(sorted(set(lines[images]) - set(kept))),
    )


def _base(root: Path) -> Path:
    for base in (root, root / "CUB_200_2011"):
        if (base / "images.txt").exists():
            return base
    raise UserError(
        f"{root} holds no images.txt, so it is no data set in CUB-200-2011 layout; name the folder of one,"
        " or its layout by data.layout"
    )


def read_list(path: Path, value: str) -> dict[int, str]:
    """Read a list as `{id: value}`, in the order of the file.

    The value is everything behind the first space, so file names may contain spaces. A byte order mark, CRLF line
    ends, empty lines and a missing final newline are tolerated.

    Args:
        path: the text file.
        value: what a line holds behind the id, for messages.

    Raises:
        UserError: the file is missing, not UTF-8 or empty, a line is no `id value`, or an id occurs twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{path} does not exist; copy the data set again, a CUB-200-2011 layout needs this list"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8 or copy it again") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the file and its permissions") from None
    found: dict[int, str] = {}
    # Only "\n" ends a record: str.splitlines would also cut names at rarer separators such as U+2028.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        key, _, rest = line.partition(" ")
        if not _ID.fullmatch(key) or not rest:
            raise UserError(f"{path} line {number} is {line[:80]!r}, expected `id {value}`; correct the line")
        if int(key) in found:
            raise UserError(f"{path} line {number} names id {int(key)} a second time; remove one of its lines")
        found[int(key)] = rest
    if not found:
        raise UserError(f"{path} holds no records, expected lines `id {value}`; copy the file again")
    return found


def _same_ids(images: Path, file: Path, names: Mapping[int, str], others: Mapping[int, str]) -> None:
    for have, lack, gone in ((images, file, set(names) - set(others)), (file, images, set(others) - set(names))):
        if gone:
            raise UserError(
                f"{have} has image {min(gone)}, {lack} has not ({such(len(gone), 'id')}); copy both lists from the same"
                " data set"
            )


def _label(path: Path, key: int, text: str, classes: Mapping[int, str]) -> int:
    if not _ID.fullmatch(text.strip()):
        raise UserError(f"{path} gives id {key} the value {text!r}, expected an integer; correct the line")
    if int(text) not in classes:
        raise UserError(
            f"{path} gives image {key} the class {int(text)}, which classes.txt does not name; correct the label"
        )
    return int(text)


def _flag(path: Path, key: int, text: str) -> bool:
    if text.strip() not in ("0", "1"):
        raise UserError(f"{path} gives image {key} the flag {text!r}, expected 1 (train) or 0 (test); correct it")
    return text.strip() == "1"


def _box(path: Path, key: int, text: str) -> Box:
    try:
        x, y, width, height = (float(part) for part in text.split())
    except ValueError:
        raise UserError(
            f"{path} gives image {key} the box {text!r}, expected `x y width height` with sides above 0"
        ) from None
    return x, y, width, height
