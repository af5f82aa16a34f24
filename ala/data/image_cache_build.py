"""Build the image cache of :mod:`ala.data.image_cache`: decode and resize each image once (METHODS 1.5).

At CUB's size that takes minutes and writes gigabytes, so the arrays are filled where they lie, on the disk of the
result. A run that is killed begins again.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ala.config import Profile
from ala.data.decode import Reading, reduced
from ala.data.image_cache import IMAGE_CACHE_VERSION
from ala.data.index import Entry, Index, such
from ala.data.parallel import each
from ala.utils.disk import need_room, reserve
from ala.utils.errors import UserError
from ala.utils.files import atomic_folder


def required(settings: Profile) -> dict[int, set[str]]:
    """List the splits needed at each image size, from the settings of the active profile."""
    wanted: dict[int, set[str]] = {}
    size, crop_from = settings.data.input_size, settings.train.augment.resize
    wanted.setdefault(size, set()).update({"val", "test"})
    wanted.setdefault(crop_from or size, set()).add("train")
    fcam = settings.fcam
    wanted.setdefault(fcam.input_size, set()).update({"val", "test"})
    wanted.setdefault(fcam.resize or fcam.input_size, set()).add("train")
    return wanted


def build_image_cache(folder: Path, index: Index, splits: dict[str, pd.DataFrame], size: int, reading: Reading) -> None:
    """Build an image cache by :func:`fill_image_cache`; `folder` (e.g. `data/image_cache/384`) is replaced as a whole.

    Raises:
        UserError: an image or mask does not decode, or the disk is too small.
    """
    check_room(folder, {size: set(splits)}, splits)
    with atomic_folder(folder) as temporary:
        fill_image_cache(temporary, index, splits, size, reading)


def check_room(folder: Path, wanted: dict[int, set[str]], splits: dict[str, pd.DataFrame]) -> None:
    """Check that the disk of `folder` has room for the splits wanted at each size.

    Raises:
        UserError: it has not.
    """
    counts = {size: sum(len(splits[name]) for name in names) for size, names in sorted(wanted.items())}
    parts = [f"{count:,} images at {size} x {size}" for size, count in counts.items()]
    need = sum(int(count * size * size * 4 * 1.01) for size, count in counts.items())
    need_room(folder, need, f"an image cache of {' and '.join(parts)}")


def fill_image_cache(
    folder: Path,
    index: Index,
    splits: dict[str, pd.DataFrame],
    size: int,
    reading: Reading,
) -> None:
    """Decode and resize the images of `splits` (frames of :func:`ala.data.split.split`) to `size` x `size`.

    Images become RGB and are resized by Pillow's bilinear filter with its antialiasing, masks become shares of
    annotators times 255 and are resized by nearest neighbour.

    Args:
        folder: for this image size alone; `image_cache.json` is written last.
        reading: how images and masks are read.

    Raises:
        UserError: an image or mask does not decode.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in splits.items():
        _fill_split(folder, index, name, frame.sort_values("image_id", ignore_index=True), size, reading)
    about = {
        "version": IMAGE_CACHE_VERSION, "size": size, "names": index.names,
        "splits": {name: len(frame) for name, frame in splits.items()},
        "unmasked": {name: [one.image_id for one in _entries(index, frame) if one.mask is None]
                     for name, frame in splits.items()},
    }  # fmt: skip
    (folder / "image_cache.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _entries(index: Index, frame: pd.DataFrame) -> list[Entry]:
    """The images of a split, by ascending id."""
    known = {one.image_id: one for one in index.entries}
    ids = sorted(frame["image_id"].tolist())
    lost = [key for key in ids if key not in known]
    if lost:
        raise UserError(
            f"the splits name image {lost[0]}, which {index.listing} does not hold ({such(len(lost), 'id')}); run"
            " `dvc repro split`"
        )
    return [known[key] for key in ids]


def _fill_split(folder: Path, index: Index, name: str, frame: pd.DataFrame, size: int, reading: Reading) -> None:
    count, what, entries = len(frame), f"{name} at {size} px", _entries(index, frame)
    boxes = np.array([one.boxes[0] if one.boxes else [np.nan] * 4 for one in entries], dtype=np.float64)  # (count, 4)
    shapes = {"images": (count, size, size, 3), "masks": (count, size, size)}
    images, masks = (_create(folder / f"{name}-{part}.npy", shape) for part, shape in shapes.items())

    def fill(row: int) -> None:
        file = index.image_file(entries[row])
        try:
            with Image.open(file) as opened:
                image = reading.oriented(opened)
                boxes[row] *= np.array([size / image.width, size / image.height] * 2)
                images[row] = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
            mask_file = index.mask_file(entries[row])
            if mask_file is None:
                return
            file = mask_file
            with Image.open(file) as mask:
                masks[row] = reduced(reading.votes(reading.levels(reading.oriented(mask))), size)
        except (OSError, SyntaxError, ValueError) as error:  # Pillow reports damage by any of these
            raise UserError(f"{file} does not decode ({error}); run `dvc repro data` again") from None

    each(fill, range(count), what)
    images.flush()
    masks.flush()
    np.save(folder / f"{name}-ids.npy", frame["image_id"].to_numpy(dtype=np.int64))
    np.save(folder / f"{name}-labels.npy", frame["label"].to_numpy(dtype=np.int64))
    np.save(folder / f"{name}-boxes.npy", boxes.astype(np.float32))


def _create(file: Path, shape: tuple[int, ...]) -> np.memmap:
    """Make `file` an array of zeros that has its room on the disk."""
    array = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    reserve(file)
    return array
