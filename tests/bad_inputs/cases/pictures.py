"""Images and masks."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pandas as pd
from PIL import Image

from tests.bad_inputs.case import Accepted, Case
from tests.bad_inputs.world import World

IMAGE, MASK = "photos/images/002.Blue_Jay/bird_0006.jpg", "photos/segmentations/002.Blue_Jay/bird_0006.png"
SIZE = (50, 36)  # of this image


def _write(name: str, content: bytes) -> Callable[[World], None]:
    return lambda world: (world / name).write_bytes(content) and None


def _cut(name: str, share: float, fill: bool = False) -> Callable[[World], None]:
    """Keep the beginning of a file; with `fill` zeros mean the rest, as after an interrupted copy."""

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
    (world / IMAGE).unlink()
    (world / IMAGE).mkdir()


def _circle(world: World) -> None:
    """A link that leads to itself."""
    (world / IMAGE).unlink()
    (world / IMAGE).symlink_to((world / IMAGE).name)


def _animation(world: World) -> None:
    frames = [Image.new("RGB", SIZE, (level, 9, 9)) for level in (0, 100, 200)]
    frames[0].save(world / IMAGE, "GIF", save_all=True, append_images=frames[1:])


def _turned(world: World, side_on_mask: bool) -> None:
    """Mark the image as standing on its side; the mask may be of the image as viewers show it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(world / IMAGE) as image:
        image.load()
    image.save(world / IMAGE, "JPEG", exif=exif)
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


def _first(*steps: Callable[[World], object]) -> Callable[[World], None]:
    def damage(world: World) -> None:
        for step in steps:
            step(world)

    return damage


def _set(place: str, value: object) -> Callable[[World], None]:
    return lambda world: world.set(f"data.{place}", value)


def _masks(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[World], None]:
    """Change the levels of all masks, uint8 (h, w)."""

    def damage(world: World) -> None:
        for file in sorted((world / "photos/segmentations").rglob("*.png")):
            with Image.open(file) as mask:
                levels = np.asarray(mask)
            Image.fromarray(change(levels)).save(file)

    return damage


def _one_mask(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[World], None]:
    def damage(world: World) -> None:
        with Image.open(world / MASK) as mask:
            levels = np.asarray(mask)
        Image.fromarray(change(levels)).save(world / MASK)

    return damage


def _majority(levels: np.ndarray) -> np.ndarray:
    return (levels > 127).astype(np.uint8)  # (h, w) of 0 and 1


def _rim(levels: np.ndarray, inner: int, outer: int) -> np.ndarray:
    """The object as `inner`, the pixels that fewer annotators marked, which lie around it, as `outer`."""
    return np.where(levels > 127, inner, np.where(levels > 0, outer, 0)).astype(np.uint8)


def _half_turn(world: World) -> None:
    """An image that is stored upside down and says so, and a mask drawn on it as viewers show it."""
    exif = Image.Exif()
    exif[0x0112] = 3
    with Image.open(world / IMAGE) as image:
        image.load()
    image.save(world / IMAGE, "JPEG", exif=exif)
    _one_mask(lambda levels: levels[::-1, ::-1].copy())(world)


def _indices(world: World) -> None:
    """All masks as labels of a coloured palette: 1 is the object, 2 what lies around it."""
    for file in sorted((world / "photos/segmentations").rglob("*.png")):
        with Image.open(file) as mask:
            labels = Image.fromarray(_rim(np.asarray(mask), 1, 2))
        labels.putpalette([0, 0, 0, 128, 0, 0, 224, 224, 192])
        labels.save(file)


def _alpha(world: World) -> None:
    """A black mask whose alpha channel is the object."""
    with Image.open(world / MASK) as mask:
        alpha = Image.fromarray(_majority(np.asarray(mask)) * np.uint8(255))
    black = Image.new("L", SIZE, 0)
    Image.merge("LA", (black, alpha)).save(world / MASK)


def _small_object(number: int) -> Callable[[World], None]:
    """An object of 4 x 4 pixels in 800 x 600, which has none left at 32 x 32."""

    def damage(world: World) -> None:
        name = f"002.Blue_Jay/bird_{number:04d}"
        Image.new("RGB", (800, 600), RED).save(world / f"photos/images/{name}.jpg")
        mask = np.zeros((600, 800), dtype=np.uint8)
        mask[102:106, 102:106] = 255
        Image.fromarray(mask).save(world / f"photos/segmentations/{name}.png")
        world.edit("photos/bounding_boxes.txt", f"\n{number} 12.0 10.0 16.0 8.0", f"\n{number} 102 102 4 4")

    return damage


AGAIN, EIGHT = "copy it again", "save it as an 8-bit grey PNG"
RED = (250, 20, 20)
OUT = "or leave out: data.exclude: [6]"
CASES = [
    Case("an image is missing", "data", lambda w: (w / IMAGE).unlink(), IMAGE, "is missing", "copy the data set again"),
    Case("a folder in place of an image", "data", _folder, IMAGE, "is missing", "copy the data set again"),
    Case("an image that is a link to itself", "data", _circle, IMAGE, "is missing", "copy the data set again"),
    Case("an image of 0 bytes", "data", _write(IMAGE, b""), IMAGE, "(0 bytes) is no picture", AGAIN),
    Case("a text file named .jpg", "data", _write(IMAGE, b"<html>404</html>"), IMAGE, "(16 bytes) is no picture",
         AGAIN),
    Case("an image cut off", "data", _cut(IMAGE, 0.6), IMAGE, "does not decode", AGAIN),
    Case("an image of which half is zeros", "data", _cut(IMAGE, 0.5, fill=True), IMAGE, "does not decode", AGAIN),
    Case("a header of 50,000 x 50,000 pixels", "data", _write(IMAGE, _claims(50_000, 50_000)), IMAGE,
         "2500000000 pixels", "shrink it"),
    Case("a header of 12,000 x 12,000 pixels", "data", _write(IMAGE, _claims(12_000, 12_000)), IMAGE,
         "12000 x 12000 pixels, at most 50,000,000", "shrink it"),
    Case("an image of 16 bits a pixel", "data", _save(IMAGE, _picture("I;16", 999)), IMAGE, "mode I;16",
         "save it with 8 bits per channel"),
    Case("an image of floating-point numbers", "data", _save(IMAGE, _picture("F", 0.5), "TIFF"), IMAGE, "mode F",
         "save it with 8 bits per channel"),
    Case("an animated image", "data", _animation, IMAGE, "(3 frames)", "save one of them"),
    Case("an image whose EXIF tag turns it, and nothing said of it", "data", lambda w: _turned(w, False), IMAGE,
         "(orientation 6)", "set data.orientation to stored if masks and boxes are of the stored pixels, or to shown"),
    Case("an image stored upside down, its mask as shown", "data", _half_turn, IMAGE, "(orientation 3)",
         "set data.orientation to stored if masks and boxes are of the stored pixels, or to shown"),
    Case("the same, taken as stored", "data", _first(_half_turn, _set("orientation", "stored")), MASK,
         "no pixel of the object lies in the box 12 10 16 8 of bounding_boxes.txt",
         "correct the one that is not of the image as it is"),
    Case("a mask of the image as its EXIF tag turns it, taken as stored", "data",
         _first(lambda w: _turned(w, True), _set("orientation", "stored")), MASK,
         "36 x 50 pixels, its image photos/images/002.Blue_Jay/bird_0006.jpg 50 x 36 as stored; where an EXIF tag turns"
         " it, data.orientation: shown reads it so", "replace the mask by one of the image's size"),
    Case("a mask of the image as stored, taken as shown", "data",
         _first(lambda w: _turned(w, False), _set("orientation", "shown")), MASK,
         "50 x 36 pixels, its image photos/images/002.Blue_Jay/bird_0006.jpg 36 x 50 as its EXIF tag shows it",
         "replace the mask by one of the image's size"),
    Case("an image with transparent pixels", "data", _save(IMAGE, _picture("RGBA", (*RED, 0))), IMAGE,
         "transparent pixels (100.0% of it)", "save it without an alpha channel"),
    Case("a mask is missing", "data", lambda w: (w / MASK).unlink(), MASK, "is missing", "copy the data set again"),
    Case("a mask cut off", "data", _cut(MASK, 0.5), MASK, "does not decode", AGAIN),
    Case("a mask of another size", "data", _save(MASK, lambda: Image.new("L", (40, 30), 255)), MASK,
         "40 x 30 pixels", "replace the mask by one of the image's size"),
    Case("a mask that is all zero", "data", _save(MASK, _picture("L", 0)), MASK, "is empty",
         f"redraw it, {OUT}"),
    Case("a mask below the threshold", "data", _save(MASK, _picture("L", 127)), MASK,
         "no grey level above 127 that is the object's (its levels are 127)",
         f"name the object's levels, such as data.object_levels: [127], {OUT}"),
    Case("masks of 0 and 1", "data", _masks(_majority), "001.Wren/bird_0001.png", "(its levels are 0, 1)",
         "lower data.mask_threshold, or name the object's levels, such as data.object_levels: [1] (15 such files)"),
    Case("masks of 0, 1 and 255, which means ignore", "data", _masks(lambda m: _rim(m, 1, 255)),
         "001.Wren/bird_0001.png", "the levels 0, 1, 255, which are labels",
         "data.object_levels and the others (ignored ones too) in data.background_levels"),
    Case("masks of 0, 1 and 255 above a threshold of 0", "data",
         _first(_masks(lambda m: _rim(m, 1, 255)), _set("mask_threshold", 0)), "001.Wren/bird_0001.png",
         "the levels 0, 1, 255, which are labels",
         "data.object_levels and the others (ignored ones too) in data.background_levels"),
    Case("masks of 0, 128 and 255, which may be a trimap", "data", _masks(lambda m: _rim(m, 255, 128)),
         "photos/segmentations", "no levels but 0, 128 and 255", "data.object_levels: [128, 255]"),
    Case("a level that no setting names", "data",
         _first(_masks(lambda m: _rim(m, 1, 255)), _set("object_levels", [1])), "001.Wren/bird_0001.png",
         "112 pixels of level 255", "add it to one of them"),
    Case("object levels of which a mask has none", "data",
         _first(_set("object_levels", [255]), _set("background_levels", [102]), _save(MASK, _picture("L", 102))), MASK,
         "the levels 102 and none of data.object_levels [255]", f"redraw it, {OUT}"),
    Case("an inverted mask", "data", _one_mask(lambda m: 255 - m), MASK,
         "looks inverted or filled: the object covers 93% of the image",
         "set data.object_levels: [0] and name the other levels in data.background_levels"),
    Case("a mask that is white throughout", "data", _save(MASK, _picture("L", 255)), MASK,
         "looks inverted or filled: the object covers 100% of the image",
         "set data.object_levels: [0] and name the other levels in data.background_levels"),
    Case("masks upside down", "data", _masks(lambda m: m[::-1].copy()), "bounding_boxes.txt",
         "fits the masks once they are turned upside down", "store the masks as the images are"),
    Case("a mask whose alpha channel is the object", "data", _alpha, MASK, "shows another object than its grey levels",
         "without alpha, the object 255"),
    Case("an object that vanishes at data.input_size", "data", _small_object(9), "002.Blue_Jay/bird_0009.png",
         "(16 of 480,000 pixels) has no pixel left at 32 x 32", "raise data.input_size, or leave out"),
    Case("a mask of 16 bits a pixel", "data", _save(MASK, _picture("I;16", 9)), MASK, "mode I;16", EIGHT),
    Case("a mask in colour", "data", _save(MASK, _object("RGB", (0, 255, 0))), MASK, "coloured (mode RGB)", EIGHT),
    Case("a mask with a coloured palette", "data", _save(MASK, _palette), MASK,
         "coloured palette (mode P; indices 0, 1)",
         "name the indices of the object in data.object_levels and the others in data.background_levels"),
]  # fmt: skip


def _levels(world: World, _: str) -> None:
    """The mask counted: 15 x 15 pixels of level 255 more than those of the 14 others."""
    levels = json.loads((world / "data/metrics.json").read_text())["mask_levels"]
    assert levels["255"] == 14 * 128 + 15 * 15


def _image_is(colour: tuple[int, int, int]) -> Callable[[World, str], None]:
    """The image cache's image has this colour, give or take what JPEG and CMYK lose."""

    def check(world: World, _: str) -> None:
        from ala.config import load
        from ala.data.decode import Reading
        from ala.data.image_cache_build import build_image_cache
        from ala.data.index import read_index
        from ala.data.split import split

        reading = Reading.of(load(world / "params.yaml").active.data)
        index = read_index(world / "data/dataset")
        build_image_cache(world / "looked-at", index, {"all": pd.concat(split(index, 0, 1).values())}, 32, reading)
        image = np.load(world / "looked-at/all-images.npy")[5]
        assert np.abs(image.astype(int) - np.array(colour)).max() <= 6

    return check


def _upright(world: World, _: str) -> None:
    with Image.open(world / "data/dataset/images/002.Blue_Jay/bird_0006.jpg") as image:
        assert image.size == SIZE


def _object_is_right(*thresholds: int) -> Callable[[World, str], None]:
    """The image cache's masks exceed each of the thresholds where the sound project's object is, and nowhere else."""

    def check(world: World, _: str) -> None:
        assert world.run("split").exit_code == world.run("image_cache").exit_code == 0
        for name in ("val", "test"):
            masks = np.load(world / f"data/image_cache/32/{name}-masks.npy")  # (n, 32, 32)
            for key, mask in zip(np.load(world / f"data/image_cache/32/{name}-ids.npy").tolist(), masks, strict=True):
                whole = np.zeros((36 + (key - 1) % 5, 44 + key), dtype=bool)  # (h, w), as write_cub draws it
                whole[10:18, 12:28] = True
                small = np.asarray(Image.fromarray(whole).resize((32, 32), Image.Resampling.NEAREST))
                for threshold in thresholds:
                    assert np.array_equal(mask > threshold, small)

    return check


def _as_shown(world: World, output: str) -> None:
    """The image is turned as its mask: what the image cache holds of it is the file's content turned by 180 degrees."""
    assert world.run("split").exit_code == world.run("image_cache").exit_code == 0
    for name in ("train", "val", "test"):
        ids = np.load(world / f"data/image_cache/32/{name}-ids.npy").tolist()
        if 6 in ids:
            with Image.open(world / IMAGE) as image:
                right = image.convert("RGB").transpose(Image.Transpose.ROTATE_180).resize((32, 32), 2)
            assert np.array_equal(
                np.load(world / f"data/image_cache/32/{name}-images.npy")[ids.index(6)], np.asarray(right)
            )
            with Image.open(world / MASK) as mask:
                levels = np.asarray(mask.resize((32, 32), Image.Resampling.NEAREST))
            assert np.array_equal(np.load(world / f"data/image_cache/32/{name}-masks.npy")[ids.index(6)], levels)
            return
    raise AssertionError("image 6 is in no split")


def _shown_box(world: World) -> None:
    """The box of the image as viewers show it, 50 x 36 pixels."""
    world.edit("photos/bounding_boxes.txt", "\n6 12.0 10.0 16.0 8.0", f"\n6 {50 - 28} {36 - 18} 16 8")


def _left_out(world: World, output: str) -> None:
    """Image 6 is counted and in no list; every later stage does without it."""
    facts = json.loads((world / "data/metrics.json").read_text())
    assert (facts["photos"], facts["excluded"], facts["excluded_ids"]) == (14, 1, [6])
    assert "1 left out" in output
    index = pd.read_csv(world / "data/dataset/index.csv")
    assert index["image_id"].tolist() == [1, 2, 3, 4, 5, *range(7, 16)]
    assert not (world / "data/dataset/images/002.Blue_Jay/bird_0006.jpg").exists()
    world.set("data.train_per_class", 1)
    assert world.run("split").exit_code == world.run("image_cache").exit_code == 0


ACCEPTED = [
    Accepted("a CMYK image", "data", _save(IMAGE, lambda: Image.new("RGB", SIZE, RED).convert("CMYK"), "JPEG",
             quality=95), "converted to RGB", _image_is(RED)),
    Accepted("an image with an alpha channel, but opaque", "data", _save(IMAGE, _picture("RGBA", (*RED, 255))),
             "its colours are used", _image_is(RED)),
    Accepted("an image with a palette", "data", _save(IMAGE, lambda: Image.new("RGB", SIZE, RED).quantize(8)),
             "converted to RGB", _image_is(RED)),
    Accepted("a PNG named .jpg", "data", _save(IMAGE, _picture("RGB", RED)), "read as what it is", _image_is(RED)),
    Accepted("an image whose EXIF tag turns it, `data.orientation: stored`", "data",
             _first(lambda w: _turned(w, False), _set("orientation", "stored")),
             "used as stored, as masks and boxes of CUB-200-2011 are", _upright),
    Accepted("an image stored upside down, mask and box as shown, `data.orientation: shown`", "data",
             _first(_half_turn, _shown_box, _set("orientation", "shown")), "turned as viewers turn it", _as_shown),
    Accepted("masks of 0 and 1, `data.object_levels: [1]`", "data",
             _first(_masks(_majority), _set("object_levels", [1])), "1 is the object", _object_is_right(0, 127)),
    Accepted("masks of 0 and 1, `data.mask_threshold: 0`", "data", _first(_masks(_majority), _set("mask_threshold", 0)),
             "1 is the object", _object_is_right(0)),
    Accepted("masks of 0, 1 and 255, `data.object_levels: [1]`, `data.background_levels: [255]`", "data",
             _first(_masks(lambda m: _rim(m, 1, 255)), _set("object_levels", [1]), _set("background_levels", [255])),
             "1 is the object, 255 is not", _object_is_right(0, 127)),
    Accepted("masks of 0, 128 and 255, `data.background_levels: [128]`", "data",
             _first(_masks(lambda m: _rim(m, 255, 128)), _set("background_levels", [128])), "255 is the object",
             _object_is_right(0, 127)),
    Accepted("masks that are indices of a coloured palette, `data.object_levels: [1]`, `data.background_levels: [2]`",
             "data", _first(_indices, _set("object_levels", [1]), _set("background_levels", [2])),
             "the index counts, not the colour", _object_is_right(0, 127)),
    Accepted("inverted masks, `data.object_levels: [0]`, `data.background_levels: [255]`", "data",
             _first(_masks(lambda m: ((m <= 127) * 255).astype(np.uint8)), _set("object_levels", [0]),
                    _set("background_levels", [255])), "0 is the object", _object_is_right(0, 127)),
    Accepted("an object that vanishes at data.input_size, in a training image", "data", _small_object(7),
             "used: no mask is trained on", lambda w, _: None),
    Accepted("an empty mask, `data.exclude: [6]`", "data",
             _first(_save(MASK, _picture("L", 0)), _set("exclude", [6]), _set("train_per_class", 1)),
             "left out, counted in data/metrics.json and named in the report", _left_out),
    Accepted("a mask in RGB, but grey", "data", _save(MASK, _object("RGB", (255, 255, 255))), "read as grey", _levels),
    Accepted("a mask with a grey palette", "data", _save(MASK, lambda: _object("L", 255)().convert("P")),
             "read as grey", _levels),
    Accepted("a mask of black and white", "data", _save(MASK, _object("1", 1)), "white is the object", _levels),
]  # fmt: skip
