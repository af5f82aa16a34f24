from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ala.data.agreement import disagreement, inverted, iou
from ala.data.layouts.cub import read_cub

LIST = Path("bounding_boxes.txt")
N = 200


def _set(noise: float, square: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Listed boxes `x y width height`, boxes of masks `x1 y1 x2 y2` and sizes of images, objects of all shapes.

    The boxes of the masks differ from the listed ones by up to `noise` of the object on each side, inwards.
    """
    rng = np.random.default_rng(0)
    sizes = np.stack([np.full(N, 300.0), np.full(N, 300.0) if square else rng.uniform(150, 300, N)], axis=1)
    low = rng.uniform(0.02, 0.4, (N, 2)) * sizes
    high = low + rng.uniform(0.2, 0.55, (N, 2)) * sizes
    span = high - low
    masked = np.concatenate(
        [low + rng.uniform(0, noise, (N, 2)) * span, high - rng.uniform(0, noise, (N, 2)) * span], 1
    )
    return np.concatenate([low, span], axis=1), masked, sizes


def _said(listed: np.ndarray, masked: np.ndarray, sizes: np.ndarray, border: float = 0.0) -> str | None:
    return disagreement(listed, masked, sizes, np.full(len(sizes), border), LIST)


def test_iou_equals_counted_pixels() -> None:
    rng = np.random.default_rng(1)
    corners = rng.integers(0, 12, (300, 2, 4))
    first, second = (np.sort(corners[:, k].reshape(-1, 2, 2), axis=1).reshape(-1, 4) for k in (0, 1))
    for one, other, found in zip(first, second, iou(first, second), strict=True):
        grids = np.zeros((2, 12, 12), dtype=bool)
        for grid, (x1, y1, x2, y2) in zip(grids, (one, other), strict=True):
            grid[y1:y2, x1:x2] = True
        both, either = (grids[0] & grids[1]).sum(), (grids[0] | grids[1]).sum()
        assert found == pytest.approx(both / either if either else 0)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.2])
def test_right_boxes_pass(noise: float) -> None:
    assert _said(*_set(noise)) is None
    assert _said(*_set(noise, square=True)) is None


def test_some_wrong_boxes_are_no_reason_to_stop() -> None:
    listed, masked, sizes = _set(0.1)
    listed[: N // 4] = [0, 0, 1, 1]
    assert _said(listed, masked, sizes) is None


def _corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _centred(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)


WRONG: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "x1 y1 x2 y2": lambda boxes, _: _corners(boxes),
    "y x height width": lambda boxes, _: boxes[:, [1, 0, 3, 2]],
    "y1 x1 y2 x2": lambda boxes, _: _corners(boxes)[:, [1, 0, 3, 2]],
    "x_centre y_centre width height": lambda boxes, _: _centred(boxes),
    "x y width height, relative": lambda boxes, sizes: boxes / np.tile(sizes, 2),
    "x1 y1 x2 y2, relative": lambda boxes, sizes: _corners(boxes) / np.tile(sizes, 2),
    "y1 x1 y2 x2, relative": lambda boxes, sizes: (_corners(boxes) / np.tile(sizes, 2))[:, [1, 0, 3, 2]],
    "x_centre y_centre width height, relative": lambda boxes, sizes: _centred(boxes) / np.tile(sizes, 2),
}


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("name", WRONG)
def test_another_convention_is_named(name: str, noise: float) -> None:
    listed, masked, sizes = _set(noise)
    assert f"{LIST} reads like `{name}`: " in str(_said(WRONG[name](listed, sizes), masked, sizes))


@pytest.mark.parametrize(
    ("said", "move"),
    [
        ("turned by 180 degrees", lambda mask: mask[::-1, ::-1]),
        ("mirrored", lambda mask: mask[:, ::-1]),
        ("turned upside down", lambda mask: mask[::-1]),
        ("turned by 90 degrees", lambda mask: np.rot90(mask, 1)),
        ("turned by 270 degrees", lambda mask: np.rot90(mask, -1)),
    ],
)
def test_turned_masks_are_reported(said: str, move: Callable[[np.ndarray], np.ndarray]) -> None:
    listed, masked, sizes = _set(0.05, square=True)
    boxes = []
    for x1, y1, x2, y2 in masked.round().astype(int):
        mask = np.zeros((300, 300), dtype=bool)  # (h, w)
        mask[y1:y2, x1:x2] = True
        rows, columns = np.nonzero(move(mask))
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    assert f"once they are {said}: " in str(_said(listed, np.array(boxes, dtype=float), sizes))


def test_boxes_that_fit_in_no_way() -> None:
    listed, masked, sizes = _set(0.1)
    assert "disagree: their boxes have a median IoU of 0.0" in str(_said(listed * 0.25, masked, sizes))


def test_masks_that_hold_the_border() -> None:
    """Inverted masks whose boxes were made from them: box and mask agree, both are the whole image."""
    sizes = np.full((9, 2), 50.0)
    whole = np.concatenate([np.zeros((9, 2)), sizes], axis=1)
    assert "look inverted" in str(_said(whole, whole, sizes, border=0.9))
    assert _said(whole, whole, sizes, border=0.4) is None


def test_inverted() -> None:
    mask = np.zeros((40, 40), dtype=bool)
    mask[10:30, 15:25] = True
    box = np.zeros_like(mask)
    box[8:30, 15:28] = True
    for found, right in ((mask, False), (~mask, True), (np.ones_like(mask), True), (np.roll(mask, 20, axis=1), False)):
        assert inverted((found & box).sum(), box.sum(), (found & ~box).sum(), (~box).sum()) == right
    nearly = np.zeros_like(mask)
    nearly[1:, :] = True  # 2.5 % of the image are no room to tell
    assert not inverted(0, nearly.sum(), (~nearly).sum(), (~nearly).sum())


@pytest.mark.parametrize("name", ["butterflies", "flowers17"])
def test_genuine_masks_and_boxes_pass_until_they_are_spoilt(name: str) -> None:
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "data" / name
    if not folder.is_dir():
        pytest.skip(f"the data set is not at {folder}")
    index = read_cub(folder)
    masked, sizes, borders = [], [], []
    for one in index.entries:
        with Image.open(index.masks / str(one.mask)) as mask:
            found = np.asarray(mask) > 127  # (h, w)
        rows, columns = np.nonzero(found)
        masked.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        sizes.append(found.shape[::-1])
        borders.append(np.concatenate([found[0], found[-1], found[1:-1, 0], found[1:-1, -1]]).mean())
    listed = np.array([one.boxes[0] for one in index.entries])
    rest = np.array(masked, dtype=float), np.array(sizes, dtype=float), np.array(borders), LIST
    assert disagreement(listed, *rest) is None
    for convention, change in WRONG.items():
        assert f"reads like `{convention}`: " in str(disagreement(change(listed, rest[1]), *rest))
