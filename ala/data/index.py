"""The index of a data set: which images there are, of which class, and what is known of where their objects are.

A layout (:mod:`ala.data.layouts`) makes it from a folder of the user's, the stage `data` writes it as `index.csv` and
`classes.csv`, and every later stage reads it from there.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from ala.utils.errors import UserError

Box = tuple[float, float, float, float]  # x, y, width, height in pixels of the image, top-left corner first

CLASS_COLUMNS = ["class_id", "name"]
COLUMNS = ["image_id", "path", "class_id", "split", "mask", "ignored", "boxes"]
_SPLITS: dict[str, Literal["train", "test"] | None] = {"train": "train", "test": "test", "": None}


@dataclass(frozen=True)
class Entry:
    """One image and the truth about its object; every part of the truth may be absent.

    Attributes:
        image_id: an integer from 0 to 10^18, unique in the data set.
        path: of the image, relative to :attr:`Index.images`.
        class_id: a key of :attr:`Index.classes`.
        split: whether it is for training or for testing; None: the data set does not say.
        mask: path of the object's mask, relative to :attr:`Index.masks`; None: it has none.
        boxes: of the object's parts or instances; may be empty.
        ignored: path, relative to :attr:`Index.masks`, of a mask of pixels that count neither as object nor as
            background; None: all count.
    """

    image_id: int
    path: str
    class_id: int
    split: Literal["train", "test"] | None = None
    mask: str | None = None
    boxes: tuple[Box, ...] = ()
    ignored: str | None = None


@dataclass(frozen=True)
class Index:
    """The images of a data set; none is opened.

    Attributes:
        images: the folder of the images.
        masks: the folder of the masks.
        classes: class names by class id, which is any integer.
        entries: the images, by ascending `image_id` once :func:`checked`.
        listing: the file or folder that says which images there are, for messages.
        class_list: what names the classes, for messages; None: `listing`.
        box_list: what lists the boxes, for messages; None: `listing`.
        extras: files that belong to the data set and are copied with it as they are.
        excluded: ids of images that were left out, ascending.
    """

    images: Path
    masks: Path
    classes: dict[int, str]
    entries: list[Entry]
    listing: Path
    class_list: Path | None = None
    box_list: Path | None = None
    extras: tuple[Path, ...] = ()
    excluded: tuple[int, ...] = ()

    @property
    def names(self) -> list[str]:
        """Class names; position k is label k. Labels number the class ids in ascending order, from 0."""
        return [self.classes[key] for key in sorted(self.classes)]

    @property
    def labels(self) -> dict[int, int]:
        """The label of each class id."""
        return {key: label for label, key in enumerate(sorted(self.classes))}

    def image_file(self, entry: Entry) -> Path:
        """The file of the image."""
        return self.images / entry.path

    def mask_file(self, entry: Entry) -> Path | None:
        """The file of the mask; None where there is none."""
        return None if entry.mask is None else self.masks / entry.mask


def checked(index: Index, exclude: Collection[int] = ()) -> Index:
    """Return the index by ascending ids, without the images `exclude`, after checking that it makes sense.

    Raises:
        UserError: an id, a path or a mask comes twice, a path leaves its folder, a class is unknown, unnamed or without
            images, two classes have one name, some images say `train` or `test` and others do not, a box has no area,
            an id of `exclude` is not there. Of an image that is left out, nothing else is asked.
    """
    where, left_out = index.listing, set(index.excluded) | set(exclude)
    for image_id, count in Counter(entry.image_id for entry in index.entries).items():
        if count > 1 or not 0 <= image_id <= 10**18:
            said = "comes twice" if count > 1 else "is not in 0..10^18"
            raise UserError(f"{where}: image id {image_id} {said}; give each image an id of its own")
    unknown = sorted(set(exclude) - {entry.image_id for entry in index.entries} - set(index.excluded))
    if unknown:
        raise UserError(
            f"data.exclude names image {unknown[0]}, which {where} does not hold ({such(len(unknown), 'id')}); take it"
            " out of data.exclude"
        )
    kept = sorted((one for one in index.entries if one.image_id not in left_out), key=lambda one: one.image_id)
    if not kept:
        raise UserError(
            f"data.exclude names all images of {where}; leave some in" if left_out else
            f"{where} holds no images; name the folder of a data set, or correct data.layout"
        )  # fmt: skip
    _check_paths(where, kept)
    _check_classes(index, kept)
    for entry in kept:
        for box in entry.boxes:
            if len(box) != 4 or not all(map(math.isfinite, box)) or box[2] <= 0 or box[3] <= 0:
                raise UserError(
                    f"{index.box_list or where} gives image {entry.image_id} the box {' '.join(map(str, box))!r},"
                    " expected `x y width height` with sides above 0"
                )
    undecided = [entry.image_id for entry in kept if entry.split is None]
    if undecided and len(undecided) < len(kept):
        raise UserError(
            f"{where} says of {len(kept) - len(undecided):,} images whether they are for training or testing, but not"
            f" of image {undecided[0]} ({such(len(undecided), 'image')}); say it of all or of none"
        )
    return replace(index, entries=kept, excluded=tuple(sorted(left_out)))


def _check_paths(where: Path, entries: Iterable[Entry]) -> None:
    paths: dict[str, int] = {}
    masks: dict[str, Entry] = {}
    for entry in entries:
        for path in filter(None, (entry.path, entry.mask, entry.ignored)):
            pure = PurePosixPath(path)
            if not _is_text(path):
                raise UserError(f"{where} has a file {path!r} whose name is not UTF-8; rename it")
            if pure.is_absolute() or ".." in pure.parts or not pure.name or "\0" in path:
                raise UserError(
                    f"{where} gives image {entry.image_id} the path {path!r}, expected a path inside its folder;"
                    " correct it"
                )
        first = paths.setdefault(str(PurePosixPath(entry.path)), entry.image_id)
        if first != entry.image_id:
            raise UserError(
                f"{where} gives images {first} and {entry.image_id} the same path {entry.path!r}; remove one"
            )
        other = masks.setdefault(entry.mask, entry) if entry.mask is not None else entry
        if other is not entry:
            raise UserError(
                f"{where} gives images {other.image_id} ({other.path}) and {entry.image_id} ({entry.path}) the same"
                f" mask, {entry.mask}; rename one image and give it a mask of its own"
            )


def _is_text(path: str) -> bool:
    """Whether the name can be written to a list; names of other encodings hold surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in path)


def _check_classes(index: Index, entries: Iterable[Entry]) -> None:
    where = index.class_list or index.listing
    owner: dict[str, int] = {}
    for key, name in sorted(index.classes.items()):
        if owner.setdefault(name, key) != key:
            raise UserError(f"{where} names class {key} {name!r} like class {owner[name]}; rename one of them")
    empty = set(index.classes)
    for entry in entries:
        if entry.class_id not in index.classes:
            raise UserError(
                f"{index.listing} gives image {entry.image_id} the class {entry.class_id}, which has no name; correct"
                " the class or name it"
            )
        empty.discard(entry.class_id)
    if empty:
        raise UserError(
            f"{where} has class {min(empty)} ({index.classes[min(empty)]}), but no image carries it"
            f" ({such(len(empty), 'class', 'classes')}); add its images or remove the class"
        )


def such(count: int, one: str, many: str | None = None) -> str:
    """`1 such id`, `2 such ids`."""
    return f"{count} such {one if count == 1 else many or one + 's'}"


def write_index(folder: Path, index: Index) -> None:
    """Write `index.csv` and `classes.csv` into `folder`, whose `images/` and `masks/` hold the files."""
    rows = [
        (one.image_id, one.path, one.class_id, one.split, one.mask, one.ignored,
         "; ".join(" ".join(repr(float(value)) for value in box) for box in one.boxes))
        for one in index.entries
    ]  # fmt: skip
    _write(folder / "index.csv", COLUMNS, rows)
    _write(folder / "classes.csv", CLASS_COLUMNS, sorted(index.classes.items()))


def read_index(folder: Path) -> Index:
    """Read what :func:`write_index` wrote.

    Raises:
        UserError: the folder or a file is missing, or is no index.
    """
    file, class_list = folder / "index.csv", folder / "classes.csv"
    rows, classes = _read(file, COLUMNS), _read(class_list, CLASS_COLUMNS)
    try:
        names = {int(row["class_id"]): row["name"] for row in classes}
        entries = [_entry(row) for row in rows]
    except (ValueError, KeyError) as error:
        raise UserError(f"{file} is no index ({error}); delete {folder} and run `dvc repro data`") from None
    return checked(Index(folder / "images", folder / "masks", names, entries, file, class_list))


def _entry(row: dict[str, str]) -> Entry:
    """The entry of a line of `index.csv`, by column."""
    boxes = tuple(_box(text) for text in row["boxes"].split("; ") if text)
    path, mask, ignored = row["path"], row["mask"] or None, row["ignored"] or None
    return Entry(int(row["image_id"]), path, int(row["class_id"]), _SPLITS[row["split"]], mask, boxes, ignored)


def _write(file: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([columns, *rows])


def _read(file: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            header, *rows = csv.reader(opened, strict=True)
        if header != columns:
            raise ValueError(f"its columns are {', '.join(header)}, expected {', '.join(columns)}")
        return [dict(zip(columns, row, strict=True)) for row in rows]
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{file} does not exist; run `dvc repro data` first") from None
    except (ValueError, OSError, csv.Error) as error:
        raise UserError(f"{file} is no index ({error}); delete {file.parent} and run `dvc repro data`") from None


def _box(text: str) -> Box:
    x, y, width, height = (float(part) for part in text.split())
    return x, y, width, height
