from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from ala.config.schema import Data
from ala.data.decode import Reading, alpha_of, reduced, turn
from ala.data.image_cache import is_object

SOFT = Reading(threshold=127, object_levels=None, background_levels=(), orientation=None)
LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)


def _reading(**settings: object) -> Reading:
    block = {
        "source": "folder",
        "layout": "cub",
        "split_seed": 0,
        "train_per_class": 1,
        "at_most": None,
        "exclude": [],
        "input_size": 32,
    }
    masks = {"mask_threshold": 127, "object_levels": None, "background_levels": [], "orientation": None}
    return Reading.of(Data.model_validate(block | masks | settings))


@pytest.mark.parametrize("threshold", [0, 127, 254])
def test_without_object_levels_the_threshold_decides(threshold: int) -> None:
    reading = _reading(mask_threshold=threshold)
    assert np.array_equal(reading.votes(LEVELS), LEVELS)
    assert np.array_equal(is_object(reading.votes(LEVELS), threshold), threshold < LEVELS)


@pytest.mark.parametrize(
    ("objects", "background", "threshold"),
    [([1], [255], 127), ([0], [255], 0), ([3, 200], [], 254), (None, [128], 127)],
)
def test_levels_decide_pixel_by_pixel(objects: list[int] | None, background: list[int], threshold: int) -> None:
    reading = _reading(object_levels=objects, background_levels=background, mask_threshold=threshold)
    found = is_object(reading.votes(LEVELS), threshold)
    for level in range(256):
        right = level > threshold if objects is None else level in objects
        assert found[level // 16, level % 16] == (right and level not in background)


def test_levels_that_nothing_is_said_of() -> None:
    named = {
        level for level in range(256) if not _reading(object_levels=[1, 4], background_levels=[255]).unnamed()[level]
    }
    assert named == {0, 1, 4, 255}


def test_a_palette_counts_by_colour_or_with_object_levels_by_index() -> None:
    mask = Image.fromarray(np.array([[0, 1], [2, 1]], dtype=np.uint8))
    mask.putpalette([0, 0, 0, 255, 255, 255, 80, 80, 80])
    assert mask.mode == "P"
    assert SOFT.levels(mask).tolist() == [[0, 255], [80, 255]]
    assert _reading(object_levels=[1]).levels(mask).tolist() == [[0, 1], [2, 1]]


@pytest.mark.parametrize("tag", range(1, 9))
def test_an_image_is_read_as_stored_or_as_viewers_show_it(tmp_path: Path, tag: int) -> None:
    """Against the eight turns written out with NumPy."""
    pixels = np.arange(6 * 4, dtype=np.uint8).reshape(4, 6)
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.fromarray(pixels).save(tmp_path / "image.png", exif=exif)
    shown = [
        pixels, pixels[:, ::-1], pixels[::-1, ::-1], pixels[::-1], pixels.T, np.rot90(pixels, 3), pixels[::-1, ::-1].T,
        np.rot90(pixels, 1),
    ][tag - 1]  # fmt: skip
    with Image.open(tmp_path / "image.png") as image:
        assert turn(image) == tag
        assert np.array_equal(np.asarray(_reading(orientation="shown").oriented(image)), shown)
        assert np.array_equal(np.asarray(_reading(orientation="stored").oriented(image)), pixels)
        assert np.array_equal(np.asarray(ImageOps.exif_transpose(image)), shown)


@pytest.mark.parametrize("tag", [0, 9, 77])
def test_a_tag_without_meaning_turns_nothing(tmp_path: Path, tag: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.new("L", (3, 2)).save(tmp_path / "image.png", exif=exif)
    with Image.open(tmp_path / "image.png") as image:
        assert turn(image) == 1


def test_damaged_exif_data_are_reported(tmp_path: Path) -> None:
    Image.new("L", (3, 2)).save(tmp_path / "image.png", exif=b"Exif\0\0no TIFF header")
    with Image.open(tmp_path / "image.png") as image, pytest.raises(ValueError, match="EXIF data are damaged"):
        turn(image)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "CMYK"])
def test_modes_without_alpha(mode: str) -> None:
    assert alpha_of(Image.new(mode, (3, 2))) is None


def test_alpha(tmp_path: Path) -> None:
    alpha = Image.fromarray(np.array([[0, 9, 255]], dtype=np.uint8))
    grey = Image.new("L", (3, 1), 7)
    assert alpha_of(Image.merge("LA", (grey, Image.new("L", (3, 1), 255)))) is None
    found = alpha_of(Image.merge("LA", (grey, alpha)))
    assert found is not None
    assert found.tolist() == [[0, 9, 255]]
    Image.fromarray(np.array([[0, 1, 1]], dtype=np.uint8)).save(tmp_path / "key.png", transparency=1)  # grey 1 is clear
    with Image.open(tmp_path / "key.png") as image:
        found = alpha_of(image)
    assert found is not None
    assert found.tolist() == [[255, 0, 0]]


def test_reduced_takes_the_nearest_pixel() -> None:
    small = reduced(LEVELS, 4)
    assert small.tolist() == [[LEVELS[4 * y + 2, 4 * x + 2] for x in range(4)] for y in range(4)]
