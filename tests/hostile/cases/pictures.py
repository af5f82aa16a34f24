"""Photos and masks."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.hostile.case import Accepted, Case
from tests.hostile.world import World

PHOTO, MASK = "photos/images/002.Blue_Jay/bird_0006.jpg", "photos/segmentations/002.Blue_Jay/bird_0006.png"
SIZE = (50, 36)  # of this photo


def _write(name: str, content: bytes) -> Callable[[World], None]:
    return lambda world: (world / name).write_bytes(content) and None


def _cut(name: str, share: float, fill: bool = False) -> Callable[[World], None]:
    """Keep the beginning of a file; with `fill` zeros stand for the rest, as after an interrupted copy."""

    def damage(world: World) -> None:
        content = (world / name).read_bytes()
        kept = content[: int(len(content) * share)]
        (world / name).write_bytes(kept.ljust(len(content), b"\0") if fill else kept)

    return damage


def _save(name: str, image: Callable[[], Image.Image], kind: str = "PNG", **options: object) -> Callable[[World], None]:
    return lambda world: image().save(world / name, kind, **options)


def _picture(mode: str, level: object = None) -> Callable[[], Image.Image]:
    return lambda: Image.new(mode, SIZE, level)


def _claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def _folder(world: World) -> None:
    (world / PHOTO).unlink()
    (world / PHOTO).mkdir()


def _circle(world: World) -> None:
    """A link that leads to itself."""
    (world / PHOTO).unlink()
    (world / PHOTO).symlink_to((world / PHOTO).name)


def _animation(world: World) -> None:
    frames = [Image.new("RGB", SIZE, (level, 9, 9)) for level in (0, 100, 200)]
    frames[0].save(world / PHOTO, "GIF", save_all=True, append_images=frames[1:])


def _turned(world: World, side_on_mask: bool) -> None:
    """Mark the photo as standing on its side; the mask may be of the photo as viewers show it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(world / PHOTO) as photo:
        photo.load()
    photo.save(world / PHOTO, "JPEG", exif=exif)
    if side_on_mask:
        with Image.open(world / MASK) as mask:
            mask.load()
        mask.transpose(Image.Transpose.ROTATE_270).save(world / MASK)


def _palette() -> Image.Image:
    """As segmentation tools write: index 1 of a coloured palette is the object."""
    image = Image.new("P", SIZE, 0)
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.paste(1, (5, 5, 20, 20))
    return image


def _object(mode: str, level: object) -> Callable[[], Image.Image]:
    def draw() -> Image.Image:
        image = Image.new(mode, SIZE)
        image.paste(level, (5, 5, 20, 20))
        return image

    return draw


AGAIN, EIGHT = "copy it again", "save it as an 8-bit grey PNG"
CASES = [
    Case("a photo is missing", "data", lambda w: (w / PHOTO).unlink(), PHOTO, "is missing", "copy the data set again"),
    Case("a folder in place of a photo", "data", _folder, PHOTO, "is missing", "copy the data set again"),
    Case("a photo that is a link to itself", "data", _circle, PHOTO, "is missing", "copy the data set again"),
    Case("a photo of 0 bytes", "data", _write(PHOTO, b""), PHOTO, "(0 bytes) is no picture", AGAIN),
    Case("a text file named .jpg", "data", _write(PHOTO, b"<html>404</html>"), PHOTO, "(16 bytes) is no picture",
         AGAIN),
    Case("a photo cut off", "data", _cut(PHOTO, 0.6), PHOTO, "does not decode", AGAIN),
    Case("a photo of which half is zeros", "data", _cut(PHOTO, 0.5, fill=True), PHOTO, "does not decode", AGAIN),
    Case("a header of 50,000 x 50,000 pixels", "data", _write(PHOTO, _claims(50_000, 50_000)), PHOTO,
         "2500000000 pixels", "shrink it"),
    Case("a header of 12,000 x 12,000 pixels", "data", _write(PHOTO, _claims(12_000, 12_000)), PHOTO,
         "12000 x 12000 pixels, at most 50,000,000", "shrink it"),
    Case("a photo of 16 bits a pixel", "data", _save(PHOTO, _picture("I;16", 999)), PHOTO, "mode I;16",
         "save it with 8 bits per channel"),
    Case("a photo of floating-point numbers", "data", _save(PHOTO, _picture("F", 0.5), "TIFF"), PHOTO, "mode F",
         "save it with 8 bits per channel"),
    Case("an animated photo", "data", _animation, PHOTO, "(3 frames)", "save one of them"),
    Case("a mask of the photo as its EXIF tag turns it", "data", lambda w: _turned(w, True), MASK,
         "36 x 50 pixels, its photo photos/images/002.Blue_Jay/bird_0006.jpg 50 x 36 as stored (its EXIF tag",
         "replace the mask by one of the photo's size"),
    Case("a mask is missing", "data", lambda w: (w / MASK).unlink(), MASK, "is missing", "copy the data set again"),
    Case("a mask cut off", "data", _cut(MASK, 0.5), MASK, "does not decode", AGAIN),
    Case("a mask of another size", "data", _save(MASK, lambda: Image.new("L", (40, 30), 255)), MASK,
         "40 x 30 pixels", "replace the mask by one of the photo's size"),
    Case("a mask that is all zero", "data", _save(MASK, _picture("L", 0)), MASK, "is empty",
         "redraw it or delist its photo"),
    Case("a mask below the threshold", "data", _save(MASK, _picture("L", 127)), MASK,
         "no grey level above 127 (its highest is 127)", "redraw it or delist its photo"),
    Case("a mask of 16 bits a pixel", "data", _save(MASK, _picture("I;16", 9)), MASK, "mode I;16", EIGHT),
    Case("a mask in colour", "data", _save(MASK, _object("RGB", (0, 255, 0))), MASK, "coloured (mode RGB)", EIGHT),
    Case("a mask with a coloured palette", "data", _save(MASK, _palette), MASK, "coloured (mode P)", EIGHT),
]  # fmt: skip


def _levels(world: World, _: str) -> None:
    """The mask counted: 15 x 15 pixels of level 255 more than those of the 14 others."""
    levels = json.loads((world / "data/metrics.json").read_text())["mask_levels"]
    assert levels["255"] == 14 * 128 + 15 * 15


def _photo_is(colour: tuple[int, int, int]) -> Callable[[World, str], None]:
    """The store's photo has this colour, give or take what JPEG and CMYK lose."""

    def check(world: World, _: str) -> None:
        from ala.data.cub import read_cub
        from ala.data.store_build import build_store

        frame = read_cub(world / "data/dataset").frame.rename(columns={"class_id0": "label"})
        build_store(world / "looked-at", read_cub(world / "data/dataset"), {"test": frame}, 32)
        photo = np.load(world / "looked-at/test-images.npy")[frame["image_id"].tolist().index(6)]
        assert np.abs(photo.astype(int) - np.array(colour)).max() <= 6

    return check


def _upright(world: World, _: str) -> None:
    with Image.open(world / "data/dataset/images/002.Blue_Jay/bird_0006.jpg") as photo:
        assert photo.size == SIZE


RED = (250, 20, 20)
ACCEPTED = [
    Accepted("a CMYK photo", "data", _save(PHOTO, lambda: Image.new("RGB", SIZE, RED).convert("CMYK"), "JPEG",
             quality=95), "converted to RGB", _photo_is(RED)),
    Accepted("a photo with transparency", "data", _save(PHOTO, _picture("RGBA", (*RED, 0))), "its colours are used",
             _photo_is(RED)),
    Accepted("a photo with a palette", "data", _save(PHOTO, lambda: Image.new("RGB", SIZE, RED).quantize(8)),
             "converted to RGB", _photo_is(RED)),
    Accepted("a PNG named .jpg", "data", _save(PHOTO, _picture("RGB", RED)), "read as what it is", _photo_is(RED)),
    Accepted("a photo whose EXIF tag turns it", "data", lambda w: _turned(w, False),
             "used as stored, as masks and boxes of CUB-200-2011 are", _upright),
    Accepted("a mask in RGB, but grey", "data", _save(MASK, _object("RGB", (255, 255, 255))), "read as grey", _levels),
    Accepted("a mask with a grey palette", "data", _save(MASK, lambda: _object("L", 255)().convert("P")),
             "read as grey", _levels),
    Accepted("a mask of black and white", "data", _save(MASK, _object("1", 1)), "white is the object", _levels),
]  # fmt: skip
