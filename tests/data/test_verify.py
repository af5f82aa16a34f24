from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ala.data.decode import Reading
from ala.data.index import Index
from ala.data.layouts.cub import read_cub
from ala.data.verify import Facts, verify
from ala.utils.errors import UserError

IMAGE = "images/002.Blue_Jay/bird_0006.jpg"
MASK = "segmentations/002.Blue_Jay/bird_0006.png"
READING = Reading(threshold=127, object_levels=None, background_levels=(), orientation=None)


def checked(root: Path, size: int = 24, **changes: object) -> Facts:
    return verify(read_cub(root), replace(READING, **changes), size, evaluated=range(100))


def test_facts_of_a_sound_folder(cub: Path) -> None:
    facts = checked(cub)
    assert (facts.images, facts.classes, facts.greyscale) == (15, 3, 1)
    # every mask: 8 x 16 pixels of 255 inside 12 x 20 of 102
    areas = [(44 + key) * (36 + (key - 1) % 5) for key in range(1, 16)]
    assert facts.mask_levels == {0: sum(areas) - 15 * 240, 102: 15 * (240 - 128), 255: 15 * 128}
    assert facts.box_area is not None
    assert facts.own_boxes == {}
    assert facts.box_area[0] == pytest.approx(np.mean([128 / area for area in areas]))
    assert facts.box_area[1] == pytest.approx(np.median([128 / area for area in areas]))
    assert facts.metrics()["mask_levels"]["255"] == 15 * 128


def _cut(keep: float) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * keep)])

    return damage


def _zero_tail(file: Path) -> None:
    """What a copy leaves that reserved the space first and was then interrupted."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


def _grey(size: tuple[int, int], level: int) -> Callable[[Path], None]:
    return lambda file: Image.new("L", size, level).save(file)


def _huge(file: Path) -> None:
    """A PNG of a few bytes that claims 12,000 x 12,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 0, 0, 0, 0)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def _bomb(file: Path) -> None:
    _huge(file)
    content = bytearray(file.read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    file.write_bytes(content)


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "image missing": (IMAGE, Path.unlink, "is missing"),
    "mask missing": (MASK, Path.unlink, "is missing"),
    "image cut": (IMAGE, _cut(0.6), "does not decode"),
    "image cut at its end": (IMAGE, _cut(0.99), "does not decode"),
    "image half zero": (IMAGE, _zero_tail, "does not decode"),
    "image empty": (IMAGE, _cut(0.0), r"\(0 bytes\) is no picture"),
    "image is text": (IMAGE, lambda file: file.write_text("<html>404</html>"), "is no picture"),
    "mask cut": (MASK, _cut(0.5), "does not decode"),
    "mask cut at its end": (MASK, _cut(0.95), "does not decode"),
    "mask half zero": (MASK, _zero_tail, "does not decode"),
    "mask of another size": (MASK, _grey((40, 30), 255), r"40 x 30 pixels, its image .*bird_0006.jpg 50 x 36"),
    "mask empty": (MASK, _grey((50, 36), 0), "is empty"),
    "mask below the threshold": (MASK, _grey((50, 36), 127), r"no grey level above 127 .*\(its levels are 127\)"),
    "mask of 16 bits": (MASK, lambda file: Image.new("I;16", (50, 36), 9).save(file), "8-bit"),
    "image too large": (IMAGE, _huge, "12000 x 12000 pixels, at most 50,000,000"),
    "mask a bomb": (MASK, _bomb, "too large"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_reported_in_one_sentence(cub: Path, case: str) -> None:
    file, damage, message = DAMAGE[case]
    damage(cub / file)
    with pytest.raises(UserError, match=message) as caught:
        checked(cub)
    assert str(cub / file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "such file" not in str(caught.value)  # it is the only one


def test_the_first_is_named_the_others_are_counted(cub: Path) -> None:
    for key in (2, 3, 4):
        _grey((9, 9), 255)(cub / f"segmentations/001.Wren/bird_{key:04d}.png")
    _cut(0.5)(cub / IMAGE)
    with pytest.raises(UserError, match=r"bird_0002\.png .* \(3 such files, 1 with other problems\)") as caught:
        checked(cub)
    assert str(caught.value).endswith("), or leave out: data.exclude: [2, 3, 4, 6]")


def test_missing_files_are_reported_before_any_is_decoded(cub: Path) -> None:
    _cut(0.5)(cub / "images/001.Wren/bird_0001.jpg")
    for file in (cub / "images/003.Gull").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"bird_0011\.jpg is missing; .* \(5 such files\)"):
        checked(cub)


@pytest.mark.parametrize("folder", ["images", "segmentations"])
def test_missing_folder(cub: Path, folder: str) -> None:
    (cub / folder).rename(cub / "elsewhere")
    with pytest.raises(UserError, match=rf"cub/{folder}/001.Wren/bird_0001\.\w+ is missing; .* \(15 such files\)"):
        checked(cub)


def without(index: Index, **parts: Any) -> Index:
    """The index with `mask` or `boxes` of all images replaced."""
    return replace(index, entries=[replace(one, **parts) for one in index.entries])


def test_boxes_are_taken_from_masks_where_none_are_listed(cub: Path) -> None:
    listed = checked(cub)
    facts = verify(without(read_cub(cub), boxes=()), READING, 24, evaluated=range(100))
    assert facts.own_boxes == dict.fromkeys(range(1, 16), (12, 10, 16, 8))
    assert facts.box_area == listed.box_area
    assert facts.metrics()["boxes_from_masks"] == 15


def test_masks_that_are_inverted_as_a_whole_are_seen_without_boxes(cub: Path) -> None:
    for file in (cub / "segmentations").rglob("*.png"):
        with Image.open(file) as mask:
            levels = 255 - np.asarray(mask)
        Image.fromarray(levels).save(file)
    with pytest.raises(UserError, match=r"hold most of the image's border .* set data\.object_levels"):
        verify(without(read_cub(cub), boxes=()), READING, 24, evaluated=range(100))


def test_only_evaluated_images_need_masks(cub: Path) -> None:
    index = without(read_cub(cub), mask=None, boxes=())
    facts = verify(index, READING, 24, evaluated=())
    assert (facts.images, facts.mask_levels, facts.box_area, facts.own_boxes) == (15, {}, None, {})
    with pytest.raises(
        UserError,
        match=r"bird_0006\.jpg of validation or test has no mask to score maps by; add it, or leave out: data",
    ):
        verify(index, READING, 24, evaluated=[6])


def test_threshold_decides_what_is_empty(cub: Path) -> None:
    mask = np.zeros((36, 50), dtype=np.uint8)
    mask[10:18, 12:28] = 100
    Image.fromarray(mask).save(cub / MASK)
    assert checked(cub, threshold=50).mask_levels[100] == 128
    with pytest.raises(UserError, match="no grey level above 127"):
        checked(cub)


def test_each_file_is_read_once(cub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, real = [], Path.read_bytes

    def reading(file: Path) -> bytes:
        if file.suffix in (".jpg", ".png"):
            read.append(file.name)
        return real(file)

    monkeypatch.setattr(Path, "read_bytes", reading)
    checked(cub)
    assert sorted(read) == sorted(f"bird_{key:04d}.{end}" for key in range(1, 16) for end in ("jpg", "png"))


def _spot(side: int) -> Callable[[Path], None]:
    """An object of `side` x `side` pixels in the corner of the box, of all 50 x 36."""

    def save(file: Path) -> None:
        mask = np.zeros((36, 50), dtype=np.uint8)
        mask[10 : 10 + side, 12 : 12 + side] = 255
        Image.fromarray(mask).save(file)

    return save


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [4, 7, 12, 36])
def test_an_object_vanishes_here_just_where_the_image_cache_has_none(cub: Path, side: int, size: int) -> None:
    _spot(side)(cub / MASK)
    with Image.open(cub / MASK) as mask:
        left = (np.asarray(mask.convert("L").resize((size, size), Image.Resampling.NEAREST)) > 127).any()
    index = read_cub(cub)
    if left:
        verify(index, READING, size, evaluated={6})
        return
    with pytest.raises(
        UserError, match=rf"bird_0006\.png \({side**2} of 1,800 pixels\) has no pixel left at {size} x {size}"
    ):
        verify(index, READING, size, evaluated={6})
    verify(index, READING, size, evaluated=set(range(16)) - {6})


def test_the_ids_of_many_problems_are_cut(cub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ala.data.verify._NAMED", 3)
    for key in range(1, 6):
        _grey((45, 36), 0)(cub / f"segmentations/001.Wren/bird_{key:04d}.png")
    with pytest.raises(UserError, match=r"or leave out: data\.exclude: \[1, 2, 3\] and 2 more$"):
        checked(cub)


def test_nothing_is_offered_where_most_images_are_at_fault(cub: Path) -> None:
    for file in (cub / "segmentations").rglob("*.png"):
        _grey((9, 9), 255)(file)
    with pytest.raises(UserError, match=r"by one of the image's size \(15 such files\)$"):
        checked(cub)


def test_smooth_edges_are_no_labels(cub: Path) -> None:
    """Masks reduced from larger ones have levels of all heights along the outline."""
    for file in (cub / "segmentations").rglob("*.png"):
        with Image.open(file) as mask:
            size = mask.size
        large = Image.new("L", (size[0] * 8, size[1] * 8))
        ImageDraw.Draw(large).ellipse((12 * 8, 10 * 8, 28 * 8, 18 * 8), fill=255)
        large.resize(size, Image.Resampling.BOX).save(file)
    levels = checked(cub).mask_levels
    assert sum(1 <= level <= 25 for level in levels) > 3


@pytest.mark.parametrize(("tag", "reported"), [(1, None), (3, "orientation 3"), (6, "orientation 6")])
def test_a_mask_may_be_stored_turned_too(cub: Path, tag: int, reported: str | None) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    with Image.open(cub / MASK) as mask:
        mask.save(cub / MASK, exif=exif)
    if reported is None:
        checked(cub)
    else:
        with pytest.raises(UserError, match=reported):
            checked(cub)
    assert checked(cub, orientation="stored").images == 15
