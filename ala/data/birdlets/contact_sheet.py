"""One picture that shows a data set: some images of each class, with the masks' outlines."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ala.utils.errors import UserError
from ala.utils.files import atomic_path

_TILE, _GAP, _LABEL = (144, 112), 6, 18  # pixels
_PAPER, _INK, _LINE = (252, 252, 250), (40, 40, 44), (255, 64, 160)


def _pairs(file: Path) -> list[tuple[str, str]]:
    """The lines of one of CUB's lists: id and the rest."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{file} does not exist; run `dvc repro data` first") from None
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line.strip()]


def _tile(photo: Path, mask: Path) -> Image.Image:
    """Fit an image into a tile, the border of its majority mask drawn on it."""
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    with Image.open(mask) as opened:
        grey = opened.convert("L")
    scale = min(_TILE[0] / image.width, _TILE[1] / image.height)
    size = (round(image.width * scale), round(image.height * scale))
    pixels = np.array(image.resize(size, Image.Resampling.BICUBIC))
    bird = np.asarray(grey.resize(size, Image.Resampling.BILINEAR)) > 127
    inner = bird.copy()
    inner[1:-1, 1:-1] = bird[1:-1, 1:-1] & bird[:-2, 1:-1] & bird[2:, 1:-1] & bird[1:-1, :-2] & bird[1:-1, 2:]
    pixels[bird & ~inner] = _LINE
    tile = Image.new("RGB", _TILE, _PAPER)
    tile.paste(Image.fromarray(pixels), ((_TILE[0] - size[0]) // 2, (_TILE[1] - size[1]) // 2))
    return tile


def contact_sheet(root: Path, path: Path, columns: int = 3, classes: int = 20, per_class: int = 1) -> None:
    """Write a PNG of images from a data set in CUB-200-2011 layout.

    Args:
        root: the data set.
        path: the picture to write, whole or not at all.
        columns: how many classes stand side by side.
        classes: at most so many classes, spread evenly over the list.
        per_class: images of each class, spread evenly over its images.

    Raises:
        UserError: a list, image or mask of the data set is missing.
    """
    root = Path(root)
    of_class: dict[str, list[str]] = defaultdict(list)
    labels = dict(_pairs(root / "image_class_labels.txt"))
    for image_id, photo in _pairs(root / "images.txt"):
        of_class[labels[image_id]].append(photo)
    names = _pairs(root / "classes.txt")
    shown = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(classes, len(names))).astype(int))]
    rows = -(-len(shown) // columns)
    wide, tall = per_class * (_TILE[0] + _GAP) + 2 * _GAP, _TILE[1] + _LABEL + 2 * _GAP
    sheet = Image.new("RGB", (columns * wide + _GAP, rows * tall + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for place, (number, name) in enumerate(shown):
        left, top = place % columns * wide + _GAP, place // columns * tall + _GAP
        words = name.split(".", 1)[-1].replace("_", " ")
        while pen.textlength(words, font=font) > wide - 2 * _GAP:
            words = words.removesuffix("…")[:-1].rstrip() + "…"
        pen.text((left, top), words, fill=_INK, font=font)
        photos = of_class[number]
        for k, chosen in enumerate(np.linspace(0, len(photos) - 1, per_class).astype(int)):
            photo = root / "images" / photos[chosen]
            mask = (root / "segmentations" / photos[chosen]).with_suffix(".png")
            for needed in (photo, mask):
                if not needed.is_file():
                    raise UserError(
                        f"{needed} is named by images.txt but does not exist; fetch or draw the data set again"
                    )
            sheet.paste(_tile(photo, mask), (left + k * (_TILE[0] + _GAP), top + _LABEL))
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
