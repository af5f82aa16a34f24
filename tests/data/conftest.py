"""A tiny data set in CUB-200-2011 layout, to be damaged by the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ala.data.index import Index, checked
from ala.data.layouts.cub import read_cub

CLASSES = ("001.Wren", "002.Blue_Jay", "003.Gull")
TRAIN, TEST = 3, 2  # images per class


def write_cub(root: Path) -> Path:
    """15 images, ids 1..15, of sizes around 48 x 36; image 1 is greyscale; a stray image lies beside it."""
    rng = np.random.default_rng(0)
    names: list[str] = []
    labels: list[str] = []
    flags: list[str] = []
    boxes: list[str] = []
    for number, name in enumerate(CLASSES, start=1):
        (root / "images" / name).mkdir(parents=True)
        (root / "segmentations" / name).mkdir(parents=True)
        for shot in range(TRAIN + TEST):
            key = len(names) + 1
            width, height = 44 + key, 36 + shot
            shape = (height, width) if key == 1 else (height, width, 3)
            path = f"{name}/bird_{key:04d}.jpg"
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(root / "images" / path, quality=90)
            mask = np.zeros((height, width), dtype=np.uint8)
            mask[8:20, 10:30] = 102  # two of five annotators
            mask[10:18, 12:28] = 255
            Image.fromarray(mask).save((root / "segmentations" / path).with_suffix(".png"))
            names.append(f"{key} {path}")
            labels.append(f"{key} {number}")
            flags.append(f"{key} {int(shot < TRAIN)}")
            boxes.append(f"{key} 12.0 10.0 16.0 8.0")
    Image.new("RGB", (8, 8)).save(root / "images" / CLASSES[0] / "bird_0001_rgb.jpg")
    classes = [f"{number} {name}" for number, name in enumerate(CLASSES, start=1)]
    for file, lines in (
        ("images.txt", names), ("classes.txt", classes), ("image_class_labels.txt", labels),
        ("train_test_split.txt", flags), ("bounding_boxes.txt", boxes),
    ):  # fmt: skip
        (root / file).write_text("\n".join(lines) + "\n")
    return root


def cub_index(root: Path, exclude: Iterable[int] = ()) -> Index:
    """The lists of a data set, read and checked."""
    return checked(read_cub(root, exclude), set(exclude))


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    """A sound data set; each test has its own."""
    return write_cub(tmp_path / "cub")


@pytest.fixture
def edit() -> Callable[[Path, str, str], None]:
    """Replace text in a list; the text must be there, else the test would damage nothing."""

    def replace(file: Path, old: str, new: str) -> None:
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    return replace


@pytest.fixture
def shared_cub() -> Path:
    """The genuine lists of CUB-200-2011, which lie beside a developer's checkout."""
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "cub_metadata"
    if not folder.is_dir():
        pytest.skip(f"the genuine lists of CUB-200-2011 are not at {folder}")
    return folder
