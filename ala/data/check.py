"""Open and decode one image and its mask, and report what is wrong with them or measure them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ala.data import agreement
from ala.data.decode import Reading, alpha_of, reduced, turn
from ala.data.image_cache import is_object
from ala.data.index import Box
from ala.data.opened import Damaged, decode, size_of

_GREY = ("1", "L", "LA", "La")
_DEEP = ("I", "F")  # modes of more than 8 bits a channel
#: A mask of at most so many levels, of which those up to a tenth of 255 (less than one of ten annotators) cover at
#: least this share of what is above the threshold, holds labels. Smooth edges have more levels, fewer of them low.
_FEW, _TENTH, _SHARE = 16, 25, 0.1
_HIDDEN = 0.9  # IoU of the object and of the opaque part of a mask, below which its alpha channel contradicts its grey


@dataclass(frozen=True)
class Row:
    """The files and the listed box of an image."""

    image_id: int
    image: Path
    mask: Path | None
    box: Box | None
    box_list: Path  # where the box comes from, for messages


@dataclass(frozen=True)
class Object:
    """What was measured on the object of a mask."""

    levels: np.ndarray  # (256,) pixels of the mask by level
    box: tuple[int, int, int, int]  # around the object: x1, y1, x2, y2, the last two exclusive
    border: float  # share of the image's border that is object
    disagrees: Damaged | None  # with the listed box


@dataclass(frozen=True)
class Checked:
    """What was measured on a sound image and its mask."""

    size: tuple[int, int]  # width and height in pixels
    grey: bool
    object: Object | None  # None: no mask


def check(row: Row, reading: Reading, size: int | None) -> Checked:
    """Open an image and its mask and check for everything that would make a result wrong.

    Args:
        row: what the index says.
        reading: how images and masks are read.
        size: size at which the object must have a pixel left; None: it need not, nor be there at all.

    Raises:
        Damaged: something is wrong with a file, or with one beside the other. What is wrong with the mask beside the
            listed box is not raised but kept in the result, since it may be the list that is wrong as a whole.
    """
    if size is not None and row.mask is None:
        raise Damaged("unmasked", f"image {row.image} of validation or test has no mask to score maps by; add it")
    image, mask = decode(row.image, "image"), None if row.mask is None else decode(row.mask, "mask")
    if image.mode.startswith(_DEEP):  # Pillow would cut its levels off at 255
        raise Damaged("depth", f"image {row.image} has mode {image.mode}; save it with 8 bits per channel")
    if mask is not None and mask.mode.startswith(_DEEP):
        raise Damaged("depth", f"mask {row.mask} has mode {mask.mode}; save it as an 8-bit grey PNG")
    image, mask = _turned(row, reading, image, mask)
    alpha = alpha_of(image)
    if alpha is not None:
        raise Damaged(
            "transparent",
            f"image {row.image} has transparent pixels ({(alpha < 255).mean():.1%} of it), whose colours nobody sees"
            " but a model would; save it without an alpha channel",
        )
    found = None if mask is None else _object(row, reading, size, mask)
    return Checked(image.size, image.mode in _GREY, found)


def _object(row: Row, reading: Reading, size: int | None, mask: Image.Image) -> Object:
    """Check and measure the object of a mask."""
    levels = _levels(row, reading, mask)  # (h, w)
    counts = np.bincount(levels.ravel(), minlength=256)  # (256,)
    _check_levels(row, reading, counts)
    votes = reading.votes(levels)
    found = is_object(votes, reading.threshold)  # (h, w)
    _check_alpha(row, reading, mask, found)
    if not found.any():
        raise Damaged("empty", _emptiness(row, reading, np.flatnonzero(counts)))
    if size is not None and not is_object(reduced(votes, size), reading.threshold).any():
        raise Damaged(
            "vanishes",
            f"the object of mask {row.mask} ({found.sum():,} of {found.size:,} pixels) has no pixel left at"
            f" {size} x {size}, at which maps are evaluated; raise data.input_size",
        )
    across, down = np.flatnonzero(found.any(axis=0)), np.flatnonzero(found.any(axis=1))
    edge = np.concatenate([found[0], found[-1], found[1:-1, 0], found[1:-1, -1]])
    return Object(
        levels=counts, border=float(edge.mean()),
        box=(int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1),
        disagrees=_against_box(row, reading, found),
    )  # fmt: skip


def _turned(
    row: Row, reading: Reading, image: Image.Image, mask: Image.Image | None
) -> tuple[Image.Image, Image.Image | None]:
    """Image and mask in the orientation of `reading`, of one size.

    Raises:
        Damaged: they are of different size, or stored turned and the settings do not say what that means.
    """
    stored = image.size
    if reading.orientation != "stored":
        for file, one in ((row.image, image), (row.mask, mask)):
            try:
                tag = 1 if one is None else turn(one)
            except ValueError as error:
                raise Damaged(
                    "exif",
                    f"{file} cannot be turned ({error}); save it without EXIF data, or set data.orientation: stored",
                ) from None
            if tag != 1 and reading.orientation is None:
                raise Damaged(
                    "orientation",
                    f"{file} has an EXIF tag (orientation {tag}) by which viewers turn it; set data.orientation to"
                    " stored if masks and boxes are of the stored pixels, or to shown if of the image as shown",
                )
        image, mask = reading.oriented(image), None if mask is None else reading.oriented(mask)
    if mask is not None and mask.size != image.size:
        said = f"mask {row.mask} has {size_of(mask)} pixels, its image {row.image} {size_of(image)}"
        if reading.orientation == "shown" and image.size != stored:
            said += " as its EXIF tag shows it"
        elif reading.orientation == "stored" and mask.size == image.size[::-1]:
            said += " as stored; where an EXIF tag turns it, data.orientation: shown reads it so"
        raise Damaged("size", f"{said}; replace the mask by one of the image's size")
    return image, mask


def _levels(row: Row, reading: Reading, mask: Image.Image) -> np.ndarray:
    """The levels of a mask, uint8 `(h, w)`; one in colour is refused."""
    by_index = mask.mode in ("P", "PA")
    if mask.mode not in _GREY and not (by_index and reading.object_levels) and _coloured(mask):
        if not by_index:
            raise Damaged(
                "colour",
                f"mask {row.mask} is coloured (mode {mask.mode}), so its grey levels mean nothing; save it as an 8-bit"
                " grey PNG, the object 255",
            )
        raise Damaged(
            "colour",
            f"mask {row.mask} has a coloured palette (mode {mask.mode}; indices"
            f" {_listed(np.unique(np.asarray(mask.getchannel(0))))}), so its grey levels mean nothing; name the indices"
            " of the object in data.object_levels and the others in data.background_levels",
        )
    return reading.levels(mask)


def _check_levels(row: Row, reading: Reading, counts: np.ndarray) -> None:
    """Refuse a mask whose levels the settings do not explain; `counts` holds its pixels by level, `(256,)`."""
    unnamed = counts * reading.unnamed()
    if reading.object_levels is not None:
        if unnamed.any():
            level = int(unnamed.argmax())
            raise Damaged(
                "unnamed",
                f"mask {row.mask} has {unnamed[level]:,} pixels of level {level}, which neither data.object_levels nor"
                " data.background_levels names; add it to one of them",
            )
        return
    low, high = unnamed[: _TENTH + 1].sum(), unnamed[max(_TENTH, reading.threshold) + 1 :].sum()
    if (counts > 0).sum() <= _FEW and high and low >= _SHARE * high:
        raise Damaged(
            "labels",
            f"mask {row.mask} has the levels {_listed(np.flatnonzero(counts))}, which are labels and no shares of"
            " annotators; name those of the object in data.object_levels and the others (ignored ones too) in"
            " data.background_levels",
        )


def _emptiness(row: Row, reading: Reading, levels: np.ndarray) -> str:
    """Explain why a mask has no object."""
    if not levels.any():
        return f"mask {row.mask} is empty, so the object is nowhere; redraw it"
    if reading.object_levels is not None:
        return (
            f"mask {row.mask} has the levels {_listed(levels)} and none of data.object_levels"
            f" {list(reading.object_levels)}, so the object is nowhere; redraw it"
        )
    above = levels[reading.unnamed()[levels]]
    said = f"mask {row.mask} has no grey level above {reading.threshold} that is the object's (its levels are"
    said += f" {_listed(levels)}); "
    if not above.size:  # data.background_levels names them all
        return said + "redraw it, or change data.background_levels"
    return said + f"lower data.mask_threshold, or name the object's levels, such as data.object_levels: [{above[-1]}]"


def _check_alpha(row: Row, reading: Reading, mask: Image.Image, found: np.ndarray) -> None:
    """Refuse a mask whose alpha channel shows another object than its levels, `found`, boolean `(h, w)`."""
    if mask.mode in ("P", "PA") and reading.object_levels is not None:
        return  # an index is a label, whatever its colour
    alpha = alpha_of(mask)
    if alpha is None or alpha.min() > 127:
        return
    opaque = alpha > 127
    if (found & opaque).sum() < _HIDDEN * max(1, (found | opaque).sum()):
        raise Damaged(
            "alpha",
            f"mask {row.mask} has an alpha channel that shows another object than its grey levels; save it as an 8-bit"
            " grey PNG without alpha, the object 255",
        )


def _against_box(row: Row, reading: Reading, found: np.ndarray) -> Damaged | None:
    """What is wrong with a mask's object, boolean `(h, w)`, beside the listed box; None if nothing is."""
    if row.box is None:
        return None
    height, width = found.shape
    x, y, across, down = row.box
    left, right = (int(np.clip(at, 0, width)) for at in (np.floor(x), np.ceil(x + across)))
    top, bottom = (int(np.clip(at, 0, height)) for at in (np.floor(y), np.ceil(y + down)))
    inside, box = int(found[top:bottom, left:right].sum()), (right - left) * (bottom - top)
    levels = (
        "set data.object_levels: [0] and name the other levels in data.background_levels"
        if reading.object_levels is None
        else "exchange data.object_levels and data.background_levels"
    )
    listed = f"box {' '.join(f'{value:g}' for value in row.box)} of {row.box_list.name}"
    if agreement.inverted(inside, box, int(found.sum()) - inside, found.size - box):
        return Damaged(
            "inverted",
            f"mask {row.mask} looks inverted or filled: the object covers {found.mean():.0%} of the image, and no more"
            f" inside than outside of the {listed}; redraw it, or {levels}",
            row.image_id,
        )
    if not inside:
        return Damaged(
            "apart",
            f"mask {row.mask} and its box exclude one another: no pixel of the object lies in the {listed}; correct the"
            " one that is not of the image as it is",
            row.image_id,
        )
    return None


def _listed(levels: np.ndarray) -> str:
    """Levels as text: all of them, or of many the lowest and the highest."""
    return ", ".join(map(str, levels)) if len(levels) <= 8 else f"{levels[0]} to {levels[-1]}"


def _coloured(mask: Image.Image) -> bool:
    """Whether red, green and blue differ anywhere."""
    red, green, blue = np.moveaxis(np.asarray(mask.convert("RGB")), -1, 0)  # (h, w) each
    return bool((red != green).any() or (green != blue).any())
