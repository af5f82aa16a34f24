"""Open and check every image and mask before they are used."""

from __future__ import annotations

import warnings
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from PIL import Image

from ala.data import agreement
from ala.data.check import Checked, Object, Row, check
from ala.data.decode import Reading
from ala.data.index import Box, Index
from ala.data.opened import Damaged
from ala.data.parallel import each
from ala.utils.errors import UserError

_NAMED = 40  # ids that are offered for data.exclude in one sentence


@dataclass(frozen=True)
class Facts:
    """Statistics of a data set's images and masks.

    Attributes:
        images: their number.
        classes: number of classes.
        greyscale: images stored without colour.
        box_area: (mean, median) of box area / image area; None: there are no boxes.
        own_boxes: the box around the object of each mask beside which none is listed, by image id.
        mask_levels: pixels of all masks at original resolution by grey level (or palette index, as
            :class:`ala.data.decode.Reading` says); levels that do not occur are absent.
        excluded: ids that were left out.
    """

    images: int
    classes: int
    greyscale: int
    box_area: tuple[float, float] | None
    own_boxes: dict[int, Box]
    mask_levels: dict[int, int]
    excluded: tuple[int, ...]

    def metrics(self) -> dict[str, Any]:
        """The facts as JSON for DVC."""
        return {
            "photos": self.images,
            "classes": self.classes,
            "greyscale_images": self.greyscale,
            "box_area_share": None
            if self.box_area is None
            else {"mean": round(self.box_area[0], 6), "median": round(self.box_area[1], 6)},
            "boxes_from_masks": len(self.own_boxes),
            "mask_levels": {str(level): count for level, count in sorted(self.mask_levels.items())},
            "excluded": len(self.excluded),
            "excluded_ids": list(self.excluded),
        }


def verify(index: Index, reading: Reading, size: int, evaluated: Container[int]) -> Facts:
    """Open every image and mask that `index` names, decode them fully, and compare masks with listed boxes.

    Args:
        index: the images.
        reading: how images and masks are read.
        size: size of the masks at which maps are evaluated, in pixels.
        evaluated: ids whose object must be left at that size: those of validation and test images.

    Raises:
        UserError: a file is missing, does not decode, is animated, not 8-bit or larger than `MAX_PIXELS`; an image has
            transparent pixels or an EXIF tag of which `reading` says nothing; a mask is coloured, has another size than
            its image, levels that cannot be distinguished from others or no object; an object vanishes at `size`; an
            evaluated image has no mask; a mask and the listed box exclude one another, or the boxes as a whole read
            like another convention (:mod:`ala.data.agreement`). The sentence names the first in the order of the ids
            and counts the others.
    """
    box_list = index.box_list or index.listing
    rows = [
        Row(one.image_id, index.image_file(one), index.mask_file(one), one.boxes[0] if one.boxes else None, box_list)
        for one in index.entries
    ]
    _all_there(rows)

    def measured(row: Row) -> Checked | Damaged:
        try:
            return check(row, reading, size if row.image_id in evaluated else None)
        except Damaged as damage:
            damage.image_id = row.image_id
            return damage

    with warnings.catch_warnings():  # what is too large is refused by `check`
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        results = each(measured, rows, "checking images")
    _refuse([item for item in results if isinstance(item, Damaged)], len(rows))
    checked = [item for item in results if isinstance(item, Checked)]
    objects = [item.object for item in checked if item.object is not None]
    levels = np.sum([one.levels for one in objects], axis=0) if objects else np.zeros(256, dtype=np.int64)
    if reading.object_levels is None:
        _refuse_trimaps(levels * reading.unnamed(), reading.threshold, index.masks)
    _agree(checked, rows, box_list)
    own_boxes = {
        row.image_id: _box_of(item.object) for row, item in zip(rows, checked, strict=True)
        if row.box is None and item.object is not None
    }  # fmt: skip
    boxes = [(row.box or own_boxes.get(row.image_id), item.size) for row, item in zip(rows, checked, strict=True)]
    shares = [box[2] * box[3] / (width * height) for box, (width, height) in boxes if box is not None]
    return Facts(
        images=len(rows),
        classes=len(index.classes),
        greyscale=sum(item.grey for item in checked),
        box_area=(mean(shares), median(shares)) if shares else None,
        own_boxes=own_boxes,
        mask_levels={level: int(count) for level, count in enumerate(levels) if count},
        excluded=index.excluded,
    )


def _box_of(found: Object) -> Box:
    """The box around an object as `x, y, width, height`."""
    x1, y1, x2, y2 = found.box
    return x1, y1, x2 - x1, y2 - y1


def _agree(checked: list[Checked], rows: list[Row], file: Path) -> None:
    """Refuse masks and boxes that contradict one another: inverted masks first, which make boxes look wrong."""
    masked = [(row, item, item.object) for row, item in zip(rows, checked, strict=True) if item.object is not None]
    both = [(row.box, item.size, one) for row, item, one in masked if row.box is not None]
    odd = [one.disagrees for _, _, one in both if one.disagrees is not None]
    _refuse([item for item in odd if item.kind == "inverted"], len(rows))
    said = None
    if both:
        said = agreement.disagreement(
            np.array([box for box, _, _ in both]), np.array([one.box for _, _, one in both], dtype=np.float64),
            np.array([size for _, size, _ in both], dtype=np.float64), np.array([one.border for _, _, one in both]),
            file,
        )  # fmt: skip
    elif masked:
        said = agreement.all_inverted(np.array([one.border for _, _, one in masked]), file)
    if said is not None:
        raise UserError(said)
    _refuse(odd, len(rows))


def _all_there(rows: list[Row]) -> None:
    """Check that all files exist before any is decoded, so that an incomplete folder is reported at once."""
    for kind, names in (
        ("image", [(row.image_id, row.image) for row in rows]),
        ("mask", [(row.image_id, row.mask) for row in rows if row.mask is not None]),
    ):
        lost = [(key, name) for key, name in names if not _is_file(name)]
        _refuse([Damaged(kind, f"{kind} {name} is missing; copy the data set again", k) for k, name in lost], len(rows))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # e.g. a name too long for the file system: no such file either
        return False


def _refuse(problems: list[Damaged], images: int) -> None:
    """Raise the first problem, if any, with the number of its kind and of the others.

    Where at most half of the `images` have one, the sentence offers to leave them out.
    """
    if not problems:
        return
    same = sum(item.kind == problems[0].kind for item in problems)
    others = len(problems) - same
    counts = [f"{same} such files"] if same > 1 else []
    counts += [f"{others} with other problems"] if others else []
    said = str(problems[0]) + (f" ({', '.join(counts)})" if counts else "")
    if len(problems) * 2 <= images:
        ids = [item.image_id for item in problems]
        more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
        said += f", or leave out: data.exclude: [{', '.join(map(str, ids[:_NAMED]))}]{more}"
    raise UserError(said)


def _refuse_trimaps(counts: np.ndarray, threshold: int, masks: Path) -> None:
    """Refuse 0, 128 and 255 as the only levels of a set: 128 may be unknown, or one of two annotators."""
    levels = np.flatnonzero(counts)
    if len(levels) == 2 and levels[1] == 255 and threshold < levels[0] <= 129 and levels[0] >= 126:
        raise UserError(
            f"the masks in {masks} have no levels but 0, {levels[0]} and 255, so {levels[0]} may be one of two"
            f" annotators or the unknown rim of a trimap; name it in data.background_levels, or set data.object_levels:"
            f" [{levels[0]}, 255]"
        )
