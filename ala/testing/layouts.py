"""Check a data layout against :class:`ala.data.layouts.Layout`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from ala.config.schema import Data
from ala.data.index import Index, checked, read_index, write_index
from ala.testing.guards import require, unchanged
from ala.utils.errors import UserError


def check_layout(layout: type, root: Path, **settings: Any) -> None:
    """Check a class of layouts on a small data set; see each `_check_*` below for what is required.

    Args:
        layout: the class; it is constructed without arguments, as the pipeline does.
        root: a folder in that layout, with a few images that can be opened. Nothing is written to it.
        settings: fields of the `data` block of params.yaml other than :data:`SETTINGS`.

    Raises:
        AssertionError: it breaks the contract; the message says which check, and what was found.
    """
    name, data = layout.__qualname__, Data(**(SETTINGS | settings))
    before = _listing(root)
    index = _check_index(name, layout, root, data)
    _check_files(name, index)
    _check_again(name, layout, root, data, index)
    require(_listing(root) == before, f"reading by {name}", f"it changed files below {root}; only read there")
    _check_errors(name, layout, data)


#: The `data` block of the checks.
SETTINGS: dict[str, Any] = {
    "source": "folder", "layout": "cub", "split_seed": 0, "train_per_class": 1, "at_most": None, "exclude": [],
    "mask_threshold": 127, "object_levels": None, "background_levels": [], "orientation": None, "input_size": 32,
}  # fmt: skip


def _check_index(name: str, layout: type, root: Path, data: Data) -> Index:
    """`read` returns an index that makes sense, and leaves the process as it is."""
    check = f"index of {name}"
    with unchanged(f"reading by {name}", {}, {}):
        index = layout().read(root, data)
    require(isinstance(index, Index), check, f"read returns a {type(index).__name__}; return an ala.data.index.Index")
    try:
        return checked(index)
    except UserError as error:
        raise AssertionError(f"{check}: {error}") from None


def _check_files(name: str, index: Index) -> None:
    """Each file that the index names is there and is an image; a mask is as large as its image."""
    check = f"files of {name}"
    for entry in index.entries:
        size = _size(check, index.image_file(entry))
        for what, file in (("mask", entry.mask), ("mask of ignored pixels", entry.ignored)):
            if file is not None:
                found = _size(check, index.masks / file)
                require(found == size, check, f"the {what} of image {entry.image_id} is {found}, the image {size}")
        for x, y, width, height in entry.boxes:
            require(
                x + width > 0 and y + height > 0 and x < size[0] and y < size[1],
                check, f"the box {x:g} {y:g} {width:g} {height:g} of image {entry.image_id} lies outside of {size}",
            )  # fmt: skip


def _check_again(name: str, layout: type, root: Path, data: Data, index: Index) -> None:
    """The same folder gives the same index, also from a path written another way, and it survives being written."""
    for path in (root, root / ".." / root.name):
        again = checked(layout().read(path, data))
        require(
            (again.entries, again.classes) == (index.entries, index.classes),
            f"determinism of {name}", "reading again gives another index; sort what the folder lists",
        )  # fmt: skip
    try:
        with tempfile.TemporaryDirectory() as folder:
            write_index(Path(folder), index)
            written = read_index(Path(folder))
        same = (written.entries, written.classes) == (index.entries, index.classes)
    except UserError:
        same = False
    require(same, f"index of {name}", "written as text and read again it is another one; ids are of the type int")


def _check_errors(name: str, layout: type, data: Data) -> None:
    """A folder that is empty, or holds something else, is refused in one sentence that names a file."""
    for what, make in _WRONG.items():
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            try:
                checked(layout().read(Path(folder), data))
            except UserError as error:
                said = str(error)
            except Exception as error:
                raise AssertionError(
                    f"errors of {name}: {what} raises {type(error).__name__}; raise UserError with a remedy"
                ) from None
            else:
                raise AssertionError(f"errors of {name}: it reads {what}; raise UserError with a remedy")
        good = folder in said and "\n" not in said
        require(good, f"errors of {name}", f"of {what} it says {said!r}; name the file in one sentence")


def _nothing(folder: Path) -> None:
    """Make nothing in the folder."""


def _text(folder: Path) -> None:
    (folder / "notes.txt").write_text("no images here\n", encoding="utf-8")


_WRONG: dict[str, Callable[[Path], None]] = {"an empty folder": _nothing, "a folder of a text file": _text}


def _size(check: str, file: Path) -> tuple[int, int]:
    """Width and height of an image file in pixels."""
    try:
        with Image.open(file) as image:
            return image.size
    except OSError as error:
        raise AssertionError(f"{check}: {file} is no image that can be opened ({error})") from None


def _listing(root: Path) -> list[tuple[str, int, int]]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
