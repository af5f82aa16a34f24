"""Every photo and mask opened once, before anything is built upon them."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from PIL import Image

from ala.data.cub import CubIndex
from ala.data.parallel import each
from ala.runtime.errors import UserError

MAX_PIXELS = 50_000_000  # a small file can claim a picture that fills the memory; CUB's largest photo has 0.25 million
_GREY = ("1", "L", "LA", "La")
_DEEP = ("I", "F")  # modes of more than 8 bits a channel
_ORIENTATION = 0x0112  # of EXIF; above 4 width and height change places


@dataclass(frozen=True)
class Facts:
    """What the photos and masks of a data set are like.

    Attributes:
        photos: their number.
        classes: number of classes.
        greyscale: photos stored without colour.
        box_area: (mean, median) of box area / photo area.
        mask_levels: pixels of all masks at original resolution by grey level; levels that do not occur are absent.
    """

    photos: int
    classes: int
    greyscale: int
    box_area: tuple[float, float]
    mask_levels: dict[int, int]

    def metrics(self) -> dict[str, Any]:
        """The facts as JSON for DVC."""
        return {
            "photos": self.photos,
            "classes": self.classes,
            "greyscale_photos": self.greyscale,
            "box_area_share": {"mean": round(self.box_area[0], 6), "median": round(self.box_area[1], 6)},
            "mask_levels": {str(level): count for level, count in sorted(self.mask_levels.items())},
        }


@dataclass(frozen=True)
class _Checked:
    """What was measured on a sound photo and its mask."""

    pixels: int
    grey: bool
    levels: np.ndarray  # (256,) pixels of the mask by grey level


class _Damaged(Exception):
    """What is wrong with a file; problems of one kind are counted together."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


def verify(index: CubIndex, threshold: int = 127) -> Facts:
    """Open every photo and mask that `index` names and decode it fully.

    Args:
        index: the lists.
        threshold: a mask needs a pixel of a grey level above it, because IoU is undefined without foreground.

    Raises:
        UserError: a file is missing, does not decode, is animated, not 8-bit or larger than `MAX_PIXELS`; a mask is
            coloured, has another size than its photo or no foreground. The sentence names the first in the order of
            the ids and counts the others.

    A photo is taken as it is stored: an EXIF tag that asks to show it turned is not obeyed, since masks and boxes of
    CUB-200-2011 belong to the stored pixels.
    """
    rows = list(zip(index.frame["path"], index.frame["mask_path"], strict=True))
    _all_there(index, rows)

    def check(row: tuple[str, str]) -> _Checked | _Damaged:
        try:
            return _check(index.image_file(row[0]), index.mask_file(row[1]), threshold)
        except _Damaged as damage:
            return damage

    with warnings.catch_warnings():  # what is too large for _decode is refused there
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        results = each(check, rows, "checking photos")
    _refuse([item for item in results if isinstance(item, _Damaged)])
    checked = [item for item in results if isinstance(item, _Checked)]
    levels = np.sum([item.levels for item in checked], axis=0)
    boxes = (index.frame["width"] * index.frame["height"]).tolist()
    shares = [box / item.pixels for box, item in zip(boxes, checked, strict=True)]
    return Facts(
        photos=len(rows),
        classes=len(index.classes),
        greyscale=sum(item.grey for item in checked),
        box_area=(mean(shares), median(shares)),
        mask_levels={level: int(count) for level, count in enumerate(levels) if count},
    )


def _all_there(index: CubIndex, rows: list[tuple[str, str]]) -> None:
    """Look for the files before any is decoded: a half-copied folder is told at once."""
    for kind, folder, names in (
        ("photo", index.root / "images", [index.image_file(path) for path, _ in rows]),
        ("mask", index.masks, [index.mask_file(path) for _, path in rows]),
    ):
        if not folder.is_dir():
            raise UserError(f"{folder} does not exist, {len(rows)} {kind}s should be in it; copy the data set again")
        lost = [name for name in names if not _is_file(name)]
        _refuse([_Damaged(kind, f"{kind} {name} is missing; copy the data set again") for name in lost])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # e.g. a name too long for the file system: no such file either
        return False


def _refuse(problems: list[_Damaged]) -> None:
    """Raise the first problem, if any, with the number of its kind and of the others."""
    if not problems:
        return
    same = sum(item.kind == problems[0].kind for item in problems)
    others = len(problems) - same
    counts = [f"{same} such files"] if same > 1 else []
    counts += [f"{others} with other problems"] if others else []
    raise UserError(str(problems[0]) + (f" ({', '.join(counts)})" if counts else ""))


def _check(photo_file: Path, mask_file: Path, threshold: int) -> _Checked:
    photo, mask = _decode(photo_file, "photo"), _decode(mask_file, "mask")
    if photo.mode.startswith(_DEEP):  # Pillow would cut its levels off at 255
        raise _Damaged("depth", f"photo {photo_file} has mode {photo.mode}; save it with 8 bits per channel")
    if mask.mode.startswith(_DEEP):
        raise _Damaged("depth", f"mask {mask_file} has mode {mask.mode}; save it as an 8-bit grey PNG")
    if mask.size != photo.size:
        turned = photo.getexif().get(_ORIENTATION, 1) > 4
        raise _Damaged(
            "size",
            f"mask {mask_file} has {_size(mask)} pixels, its photo {photo_file} {_size(photo)}"
            + " as stored (its EXIF tag shows it turned)" * turned
            + "; replace the mask by one of the photo's size",
        )
    if mask.mode not in _GREY and _coloured(mask):
        raise _Damaged(
            "colour",
            f"mask {mask_file} is coloured (mode {mask.mode}), so its grey levels mean nothing; save it as an 8-bit"
            " grey PNG, the object 255",
        )
    levels = np.bincount(np.asarray(mask.convert("L")).ravel(), minlength=256)  # (256,)
    if not levels[threshold + 1 :].any():
        top = int(np.flatnonzero(levels).max())
        value = "is empty" if top == 0 else f"has no grey level above {threshold} (its highest is {top})"
        raise _Damaged("empty", f"mask {mask_file} {value}, so the object is nowhere; redraw it or delist its photo")
    return _Checked(pixels=photo.width * photo.height, grey=photo.mode in _GREY, levels=levels)


def _coloured(mask: Image.Image) -> bool:
    """Whether red, green and blue differ anywhere."""
    red, green, blue = np.moveaxis(np.asarray(mask.convert("RGB")), -1, 0)  # (h, w) each
    return bool((red != green).any() or (green != blue).any())


def _decode(file: Path, kind: str) -> Image.Image:
    try:
        content = file.read_bytes()
        stream = io.BytesIO(content)
        with Image.open(stream) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _Damaged(
                    "huge", f"{kind} {file} claims {_size(image)} pixels, at most {MAX_PIXELS:,} are read; shrink it"
                )
            if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: a JPEG with its own preview
                frames = getattr(image, "n_frames", 0)
                raise _Damaged("animated", f"{kind} {file} is animated ({frames} frames); save one of them")
            # The decoders are content with zeros in place of the rest, as an interrupted copy may leave them. verify()
            # follows a PNG's chunks to the last; a JPEG's end marker must follow the scan, at which open() stops.
            if image.format == "JPEG" and content.find(b"\xff\xd9", stream.tell()) < 0:
                raise ValueError("its end is missing")
            image.verify()
        image = Image.open(io.BytesIO(content))
        image.load()
    except Image.DecompressionBombError as error:
        raise _Damaged("huge", f"{kind} {file} is too large to read ({error}); shrink it") from None
    except Image.UnidentifiedImageError:
        raise _Damaged("foreign", f"{kind} {file} ({len(content):,} bytes) is no picture; copy it again") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # Pillow reports damage by any of these
        raise _Damaged("damaged", f"{kind} {file} does not decode ({error}); copy it again") from None
    return image


def _size(image: Image.Image) -> str:
    return f"{image.width} x {image.height}"
