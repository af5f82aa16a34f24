"""Check that masks and listed boxes show the same object: box conventions, inverted masks, rotated masks.

A single loose box or poor mask is no reason to stop, and data sets of this size have some. So one image is refused only
where its mask and its box exclude one another; what a wrong convention spoils is seen in the whole set. Measured for
the listed box and the box of the mask: IoU is 1 throughout on Leeds Butterflies and Oxford Flowers 17, whose boxes come
from the masks; on the miniature, whose boxes are of the whole bird and whose masks are votes on its visible part, it is
at least 0.69 with a median of 0.92.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

#: Another reading of the list or of the masks is believed if it removes more than half of what the agreed one lacks to
#: IoU 1, and `_GAIN` at least, in `_MOST` of the images. With the right convention that is so in at most 1.4 % of the
#: images of the three sets, also when the sides of boxes are moved outwards by up to 30 % of the image; with a wrong
#: one of those below in at least 71 %.
_GAIN, _MOST = 0.02, 0.5
#: MaxBoxAcc counts a box as found from IoU 0.5. Below that median the masks themselves would miss half of the boxes.
_MEDIAN = 0.5
#: A mask that fills the outside of the box to this share, and its inside no more, is inverted or filled: that outside
#: is 0.00 in each of the three sets, and 1 where a mask is inverted. It must be `_ROOM` of the image to tell.
_FULL, _ROOM = 0.9, 0.05
#: The object covers less than 0.07 of the image's border in 95 % of the images of each set, and all of it in 1 of 846.
_BORDER = 0.5

Boxes = np.ndarray  # (n, 4) float64


def inverted(inside: int, box_pixels: int, outside: int, other_pixels: int) -> bool:
    """Whether a mask is the negative of what its box says, or filled without regard to it.

    Args:
        inside: object pixels in the listed box.
        box_pixels: pixels of the box.
        outside: object pixels elsewhere.
        other_pixels: pixels elsewhere.
    """
    if box_pixels == 0 or other_pixels < _ROOM * (box_pixels + other_pixels):
        return False
    return outside > _FULL * other_pixels and inside / box_pixels <= outside / other_pixels


def disagreement(listed: Boxes, masked: Boxes, sizes: np.ndarray, borders: np.ndarray, file: Path) -> str | None:
    """Describe in one sentence what is wrong with the boxes or masks of the whole set; None if nothing is.

    Args:
        listed: boxes of the list, `x, y, width, height` in pixels.
        masked: boxes around the object of the masks, `x1, y1, x2, y2`, the last two exclusive.
        sizes: width and height of the images, `(n, 2)`.
        borders: share of the image's border that is object, `(n,)`.
        file: the list, for the message.
    """
    agreed = iou(_corners(listed), masked)
    others = [
        (f"reads like `{name}`", "write its lines as `x y width height`", iou(read(listed, sizes), masked))
        for name, read in _READINGS.items()
    ] + [
        (f"fits the masks once they are {name}", "store the masks as the images are", iou(_corners(listed), moved))
        for name, moved in ((name, _moved(masked, sizes, *move)) for name, move in _MOVES.items())
    ]
    median = float(np.median(agreed))
    what, remedy, best = max(others, key=lambda item: float(np.median(item[2])))
    if np.mean((best > agreed + _GAIN) & (1 - best < (1 - agreed) / 2)) >= _MOST:
        return (
            f"{file} {what}: its boxes and those of the masks then have a median IoU of {np.median(best):.2f}, as `x y"
            f" width height` in pixels only {median:.2f}; {remedy}"
        )
    if (said := all_inverted(borders, file)) is not None:
        return said
    if median < _MEDIAN:
        return (
            f"{file} and the masks disagree: their boxes have a median IoU of {median:.2f}, at least {_MEDIAN} is"
            " needed; both must be of the images as they are, boxes as `x y width height` in pixels"
        )
    return None


def all_inverted(borders: np.ndarray, file: Path) -> str | None:
    """Describe masks that look inverted as a whole, from the object's shares of the images' borders; None if they do
    not."""
    if float(np.median(borders)) <= _BORDER:
        return None
    return (
        f"the masks beside {file} hold most of the image's border in at least half of the images, so they look"
        " inverted; if level 0 is the object, set data.object_levels: [0] and name the rest in data.background_levels"
    )


def iou(first: Boxes, second: Boxes) -> np.ndarray:
    """IoU `(n,)` of boxes given as `x1, y1, x2, y2`; 0 where a box has no area."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    both = np.clip(high - low, 0, None).prod(axis=1)
    areas = sum(np.clip(box[:, 2:] - box[:, :2], 0, None).prod(axis=1) for box in (first, second))
    return np.divide(both, areas - both, out=np.zeros(len(first)), where=areas > both)


def _corners(boxes: Boxes) -> Boxes:
    """`x, y, width, height` as `x1, y1, x2, y2`."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _centred(boxes: Boxes) -> Boxes:
    """The centre, width and height as `x1, y1, x2, y2`."""
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)


def _scaled(boxes: Boxes, sizes: np.ndarray) -> Boxes:
    """Shares of the image as pixels."""
    return boxes * np.tile(sizes, 2)


_SWAP = [1, 0, 3, 2]  # y before x

#: What else the four numbers of a line may mean: by name, a function of them and the images' sizes to `x1, y1, x2, y2`.
_READINGS: dict[str, Callable[[Boxes, np.ndarray], Boxes]] = {
    "x1 y1 x2 y2": lambda boxes, _: boxes,
    "y x height width": lambda boxes, _: _corners(boxes[:, _SWAP]),
    "y1 x1 y2 x2": lambda boxes, _: boxes[:, _SWAP],
    "x_centre y_centre width height": lambda boxes, _: _centred(boxes),
    "x y width height, relative": lambda boxes, sizes: _corners(_scaled(boxes, sizes)),
    "x1 y1 x2 y2, relative": lambda boxes, sizes: _scaled(boxes, sizes),
    "y1 x1 y2 x2, relative": lambda boxes, sizes: _scaled(boxes[:, _SWAP], sizes),
    "x_centre y_centre width height, relative": lambda boxes, sizes: _centred(_scaled(boxes, sizes)),
}

#: How masks may be stored: by name of what brings them back, whether x and y change places (square images alone can
#: hide that), and whether x and y are mirrored then.
_MOVES = {
    "turned by 180 degrees": (False, True, True),
    "mirrored": (False, True, False),
    "turned upside down": (False, False, True),
    "turned by 90 degrees": (True, True, False),
    "turned by 270 degrees": (True, False, True),
}


def _moved(boxes: Boxes, sizes: np.ndarray, swapped: bool, mirrored: bool, upended: bool) -> Boxes:
    """Boxes `x1, y1, x2, y2` after a move of :data:`_MOVES`."""
    boxes = boxes[:, _SWAP] if swapped else boxes
    low, high, flip = boxes[:, :2], boxes[:, 2:], np.array([mirrored, upended])
    return np.concatenate([np.where(flip, sizes - high, low), np.where(flip, sizes - low, high)], axis=1)
