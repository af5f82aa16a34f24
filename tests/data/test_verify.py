from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ala.data.cub import read_cub
from ala.data.verify import verify
from ala.runtime.errors import UserError

PHOTO = "images/002.Blue_Jay/bird_0006.jpg"
MASK = "segmentations/002.Blue_Jay/bird_0006.png"


def test_facts_of_a_sound_folder(cub: Path) -> None:
    facts = verify(read_cub(cub))
    assert (facts.photos, facts.classes, facts.greyscale) == (15, 3, 1)
    # every mask: 8 x 16 pixels of 255 inside 12 x 20 of 102
    areas = [(44 + key) * (36 + (key - 1) % 5) for key in range(1, 16)]
    assert facts.mask_levels == {0: sum(areas) - 15 * 240, 102: 15 * (240 - 128), 255: 15 * 128}
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
    "photo missing": (PHOTO, Path.unlink, "is missing"),
    "mask missing": (MASK, Path.unlink, "is missing"),
    "photo cut": (PHOTO, _cut(0.6), "does not decode"),
    "photo cut at its end": (PHOTO, _cut(0.99), "does not decode"),
    "photo half zero": (PHOTO, _zero_tail, "does not decode"),
    "photo empty": (PHOTO, _cut(0.0), r"\(0 bytes\) is no picture"),
    "photo is text": (PHOTO, lambda file: file.write_text("<html>404</html>"), "is no picture"),
    "mask cut": (MASK, _cut(0.5), "does not decode"),
    "mask cut at its end": (MASK, _cut(0.95), "does not decode"),
    "mask half zero": (MASK, _zero_tail, "does not decode"),
    "mask of another size": (MASK, _grey((40, 30), 255), r"40 x 30 pixels, its photo .*bird_0006.jpg 50 x 36"),
    "mask empty": (MASK, _grey((50, 36), 0), "is empty"),
    "mask below the threshold": (MASK, _grey((50, 36), 127), r"no grey level above 127 \(its highest is 127\)"),
    "mask of 16 bits": (MASK, lambda file: Image.new("I;16", (50, 36), 9).save(file), "8-bit"),
    "photo too large": (PHOTO, _huge, "12000 x 12000 pixels, at most 50,000,000"),
    "mask a bomb": (MASK, _bomb, "too large"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_told_in_one_sentence(cub: Path, case: str) -> None:
    file, damage, message = DAMAGE[case]
    damage(cub / file)
    with pytest.raises(UserError, match=message) as caught:
        verify(read_cub(cub))
    assert str(cub / file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "such file" not in str(caught.value)  # it is the only one


def test_the_first_is_named_the_others_are_counted(cub: Path) -> None:
    for key in (2, 3, 4):
        _grey((9, 9), 255)(cub / f"segmentations/001.Wren/bird_{key:04d}.png")
    _cut(0.5)(cub / PHOTO)
    with pytest.raises(UserError, match=r"bird_0002\.png .* \(3 such files, 1 with other problems\)$"):
        verify(read_cub(cub))


def test_missing_files_are_told_before_any_is_decoded(cub: Path) -> None:
    _cut(0.5)(cub / "images/001.Wren/bird_0001.jpg")
    for file in (cub / "images/003.Gull").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"bird_0011\.jpg is missing; .* \(5 such files\)"):
        verify(read_cub(cub))


@pytest.mark.parametrize("folder", ["images", "segmentations"])
def test_missing_folder(cub: Path, folder: str) -> None:
    (cub / folder).rename(cub / "elsewhere")
    with pytest.raises(UserError, match=f"cub/{folder} does not exist, 15"):
        verify(read_cub(cub))


def test_threshold_decides_what_is_empty(cub: Path) -> None:
    _grey((50, 36), 100)(cub / MASK)
    assert verify(read_cub(cub), threshold=50).mask_levels[100] == 1800
