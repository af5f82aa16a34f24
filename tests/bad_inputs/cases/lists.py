"""The text files of a data set in CUB-200-2011 layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

from tests.bad_inputs.case import Accepted, Case
from tests.bad_inputs.world import World

IMAGES, CLASSES, LABELS = "photos/images.txt", "photos/classes.txt", "photos/image_class_labels.txt"
FLAGS, BOXES = "photos/train_test_split.txt", "photos/bounding_boxes.txt"
WREN = "001.Wren/bird_0002.jpg"


def _edit(name: str, old: str, new: str) -> Callable[[World], None]:
    return lambda world: world.edit(name, old, new)


def _bytes(name: str, change: Callable[[bytes], bytes]) -> Callable[[World], None]:
    def damage(world: World) -> None:
        (world / name).write_bytes(change((world / name).read_bytes()))

    return damage


def _folder(world: World) -> None:
    (world / LABELS).unlink()
    (world / LABELS).mkdir()


def _no_test_image(world: World) -> None:
    index = world / "data/dataset/index.csv"
    index.write_text(index.read_text().replace("3,test", "3,train"))


def _boxes(change: Callable[..., tuple[float, ...]]) -> Callable[[World], None]:
    """Write the boxes in another convention: a function of x, y, width, height and the image's size."""

    def damage(world: World) -> None:
        lines = []
        for line in (world / BOXES).read_text().splitlines():
            key, *numbers = line.split()
            size = 44 + int(key), 36 + (int(key) - 1) % 5
            lines.append(" ".join([key, *(f"{value:.6f}" for value in change(*map(float, numbers), size))]))
        (world / BOXES).write_text("\n".join(lines) + "\n")

    return damage


def _two_endings(world: World) -> None:
    world.edit(IMAGES, "3 001.Wren/bird_0003.jpg", "3 001.Wren/bird_0002.png")
    (world / "photos/images/001.Wren/bird_0003.jpg").rename(world / "photos/images/001.Wren/bird_0002.png")


CASES = [
    Case("a list is missing", "data", lambda w: (w / BOXES).unlink(), "bounding_boxes.txt", "does not exist",
         "copy the data set again"),
    Case("a folder in place of a list", "data", _folder, "image_class_labels.txt", "Is a directory",
         "check the file and its permissions"),
    Case("an empty list", "data", _bytes(IMAGES, lambda _: b"\n\n"), "images.txt", "no records", "copy the file again"),
    Case("Latin-1 names", "data", _bytes(IMAGES, lambda b: b.replace(b"Wren", "Zaunkönig".encode("latin-1"))),
         "images.txt", "not UTF-8 text (byte 11)", "save it as UTF-8 or copy it again"),
    Case("UTF-16 text", "data", _bytes(IMAGES, lambda b: b.decode().encode("utf-16")), "images.txt",
         "not UTF-8 text (byte 0)", "save it as UTF-8 or copy it again"),
    Case("a line without a value", "data", _edit(IMAGES, f"2 {WREN}", "2"), "images.txt line 2", "'2'",
         "correct the line"),
    Case("an id that is no number", "data", _edit(IMAGES, f"2 {WREN}", f"two {WREN}"), "images.txt line 2",
         "'two 001.Wren", "correct the line"),
    Case("an id of 30 digits", "data", _edit(IMAGES, f"2 {WREN}", f"{'2' * 30} {WREN}"), "images.txt line 2", "2222",
         "correct the line"),
    Case("a negative id", "data", _edit(IMAGES, f"2 {WREN}", f"-2 {WREN}"), "images.txt line 2", "'-2 001.Wren",
         "correct the line"),
    Case("an id twice", "data", _edit(IMAGES, f"2 {WREN}", f"1 {WREN}"), "images.txt line 2", "id 1 a second time",
         "remove one of its lines"),
    Case("an id that one list lacks", "data", _edit(FLAGS, "2 1\n", ""), "train_test_split.txt", "image 2",
         "copy both lists from the same data set"),
    Case("an image twice", "data", _edit(IMAGES, "3 001.Wren/bird_0003.jpg", f"3 {WREN}"), "images.txt",
         f"images 2 and 3 the same path '{WREN}'", "remove one"),
    Case("a path that leaves the folder", "data", _edit(IMAGES, WREN, f"../../{WREN}"), "images.txt",
         f"'../../{WREN}'", "correct it"),
    Case("an absolute path", "data", _edit(IMAGES, WREN, "/etc/passwd"), "images.txt", "'/etc/passwd'", "correct it"),
    Case("a class id out of range", "data", _edit(LABELS, "2 1\n", "2 9\n"), "image_class_labels.txt",
         "image 2 the class 9", "correct the label"),
    Case("class id 0", "data", _edit(LABELS, "2 1\n", "2 0\n"), "image_class_labels.txt", "image 2 the class 0",
         "correct the label"),
    Case("a class id that is no number", "data", _edit(LABELS, "2 1\n", "2 1.5\n"), "image_class_labels.txt",
         "id 2 the value '1.5'", "correct the line"),
    Case("a class without images", "data", _bytes(CLASSES, lambda b: b + b"4 004.Owl\n"), "classes.txt",
         "class 4 (004.Owl)", "add its images or remove the class"),
    Case("a class id that has no name", "data", _edit(CLASSES, "3 003.Gull", "7 003.Gull"),
         "image_class_labels.txt", "image 11 the class 3, which classes.txt does not name", "correct the label"),
    Case("two classes of one name", "data", _edit(CLASSES, "3 003.Gull", "3 001.Wren"), "classes.txt",
         "class 3 '001.Wren' like class 1", "rename one of them"),
    Case("a flag other than 0 and 1", "data", _edit(FLAGS, "2 1\n", "2 2\n"), "train_test_split.txt",
         "image 2 the flag '2'", "expected 1 (train) or 0 (test)"),
    Case("a box without width", "data", _edit(BOXES, "2 12.0 10.0 16.0 8.0", "2 12.0 10.0 0 8.0"),
         "bounding_boxes.txt", "image 2 the box '12.0 10.0 0.0 8.0'", "with sides above 0"),
    Case("a box that is no number", "data", _edit(BOXES, "2 12.0 10.0 16.0 8.0", "2 12.0 nan 16.0 8.0"),
         "bounding_boxes.txt", "image 2 the box '12.0 nan 16.0 8.0'", "with sides above 0"),
    Case("boxes as x1 y1 x2 y2", "data", _boxes(lambda x, y, w, h, _: (x, y, x + w, y + h)), BOXES,
         "reads like `x1 y1 x2 y2`", "write its lines as `x y width height`"),
    Case("boxes as y x height width", "data", _boxes(lambda x, y, w, h, _: (y, x, h, w)), BOXES,
         "reads like `y x height width`", "write its lines as `x y width height`"),
    Case("boxes as shares of the image", "data",
         _boxes(lambda x, y, w, h, size: (x / size[0], y / size[1], w / size[0], h / size[1])), BOXES,
         "reads like `x y width height, relative`", "write its lines as `x y width height`"),
    Case("boxes of images of twice the size", "data", _boxes(lambda x, y, w, h, _: (2 * x, 2 * y, 2 * w, 2 * h)),
         BOXES, "a median IoU of 0.00, at least 0.5", "boxes as `x y width height` in pixels"),
    Case("two images with one mask", "data", _two_endings, IMAGES,
         "images 2 (001.Wren/bird_0002.jpg) and 3 (001.Wren/bird_0002.png) the same mask, 001.Wren/bird_0002.png",
         "give it a mask of its own"),
    Case("an id to leave out that the list does not hold", "data", lambda w: w.set("data.exclude", [6, 16]), IMAGES,
         "data.exclude names image 16", "take it out of data.exclude"),
    Case("a class with fewer test images than are to be evaluated", "split",
         lambda w: w.set("metrics.images_per_class", 3), "class 001.Wren", "has 2 images in the test split, 3 per",
         "lower images_per_class or val_images_per_class of the profile's metrics"),
    Case("a class with fewer validation images than are to be evaluated", "split",
         lambda w: w.set("metrics.val_images_per_class", 2), "class 001.Wren", "has 1 images in the val split",
         "lower images_per_class or val_images_per_class of the profile's metrics"),
    Case("a class with too few training images, reported with the first stage", "data",
         lambda w: w.set("data.train_per_class", 3), "class 001.Wren", "has 3 training images",
         "lower it"),
    Case("a class with too few training images", "split",
         lambda w: w.set("data.train_per_class", 3), "class 001.Wren", "has 3 training images",
         "lower it"),
    Case("a class without test images", "split", _no_test_image, "class 003.Gull", "has no test image",
         "mark some of its images for testing"),
    Case("a damaged index", "split", _edit("data/dataset/index.csv", "2,train", "2,trian"), "data/dataset/index.csv",
         "'trian'", "delete data/dataset and run `dvc repro data`"),
    Case("a layout that does not exist", "data", lambda w: w.set("data.layout", "cubb"), "data.layout: 'cubb'",
         "does not exist", "choose one of cub, folder, or write package.module:Class"),
    Case("a folder of classes whose test images nothing names", "data",
         lambda w: w.set("data.layout", "folder"), "photos", "does not say which images are for testing",
         "set data.test_per_class, or give it folders train and test"),
    Case("test images to be drawn where lists name them", "data", lambda w: w.set("data.test_per_class", 1), IMAGES,
         "says which images are for testing", "set it to null"),
    Case("another data set than the settings expect", "data",
         lambda w: w.set("data.expected", {"photos": 11_788, "classes": 200}), "photos", "holds 15 images of 3 classes",
         "change data.expected"),
    Case("no data set where the settings name one", "data", lambda w: shutil.rmtree(w / "photos"), "inputs.data",
         "photos is no folder", "name it by its absolute path"),
    Case("no data set is named", "data", lambda w: w.give(data=None), "inputs.data", "is inputs/none",
         "name it by its absolute path"),
    Case("a folder without a data set", "data", lambda w: w.give(data="photos/images"), "photos/images",
         "holds no images.txt", "name the folder of one, or its layout by data.layout"),
    Case("a data set inside the folder that is written", "data", lambda w: w.give(data="data/dataset"),
         "inputs.data", "which this stage writes", "move it and name its new place"),
]  # fmt: skip


def _images(number: int) -> Callable[[World, str], None]:
    def check(world: World, _: str) -> None:
        assert json.loads((world / "data/metrics.json").read_text())["photos"] == number

    return check


def _spaces(world: World) -> None:
    world.edit(IMAGES, WREN, "001.Wren/a bird, two.jpg")
    for folder, ending in (("images", "jpg"), ("segmentations", "png")):
        (world / f"photos/{folder}/001.Wren/bird_0002.{ending}").rename(
            world / f"photos/{folder}/001.Wren/a bird, two.{ending}"
        )


def _every_list(change: Callable[[bytes], bytes]) -> Callable[[World], None]:
    def damage(world: World) -> None:
        for name in (IMAGES, CLASSES, LABELS, FLAGS, BOXES):
            (world / name).write_bytes(change((world / name).read_bytes()))

    return damage


ACCEPTED = [
    Accepted("CRLF at the ends of lines", "data", _every_list(lambda b: b.replace(b"\n", b"\r\n")), "read as LF",
             _images(15)),
    Accepted("a byte order mark", "data", _every_list(lambda b: b"\xef\xbb\xbf" + b), "left out", _images(15)),
    Accepted("no newline at the end", "data", _every_list(bytes.rstrip), "the last line counts", _images(15)),
    Accepted("empty lines", "data", _every_list(lambda b: b.replace(b"\n", b"\n\n")), "left out", _images(15)),
    Accepted("spaces in names", "data", _spaces, "part of the name", _images(15)),
    Accepted("images that no list names", "data", lambda w: (w / "photos/images/001.Wren/stray.jpg").write_text("?"),
             "never opened", _images(15)),
]  # fmt: skip
