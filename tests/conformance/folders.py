"""A small data set in each registered layout: `write_NAME(root)`, a function for each file of ala/data/layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.conftest import write_cub

__all__ = ["write_cub", "write_flat", "write_folder"]


def write_folder(root: Path, classes: int = 2, images: int = 3) -> Path:
    """`images/CLASS/IMAGE.png` and `masks/CLASS/IMAGE.png`, each of another size."""
    for number in range(classes * images):
        name, shape = f"kind {number % classes}", (20 + number, 30 - number)
        pixels = np.random.default_rng(number).integers(0, 256, (*shape, 3), dtype=np.uint8)
        mask = np.zeros(shape, np.uint8)
        mask[4:12, 6:16] = 255
        for tree, values in (("images", pixels), ("masks", mask)):
            (root / tree / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(root / tree / name / f"{number}.png")
    return root


def write_flat(root: Path, classes: int = 2, images: int = 3) -> Path:
    """`CLASS-NUMBER.png` and `CLASS-NUMBER.mask.png` in one folder: the layout of docs/extending.md."""
    write_folder(root, classes, images)
    for tree, ending in (("images", ".png"), ("masks", ".mask.png")):
        for path in sorted((root / tree).rglob("*.png")):
            path.rename(root / f"{path.parent.name}-{path.stem}{ending}")
    return root
