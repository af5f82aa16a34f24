"""Decode and resize photos once, for :mod:`ala.data.store` to map into memory (METHODS 1.5)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ala.config import Profile
from ala.data.cub import CubIndex
from ala.data.disk import need_room, reserve
from ala.data.parallel import each
from ala.data.store import STORE_VERSION
from ala.runtime.errors import UserError
from ala.runtime.files import atomic_folder


def required(settings: Profile) -> dict[int, set[str]]:
    """Which splits are needed at which side length, from the settings of the active profile."""
    wanted: dict[int, set[str]] = {}
    size, crop_from = settings.data.input_size, settings.train.augment.resize
    wanted.setdefault(size, set()).update({"val", "test"})
    wanted.setdefault(crop_from or size, set()).add("train")
    fcam = settings.fcam
    wanted.setdefault(fcam.input_size, set()).update({"val", "test"})
    wanted.setdefault(fcam.resize or fcam.input_size, set()).add("train")
    return wanted


def build_store(folder: Path, index: CubIndex, splits: dict[str, pd.DataFrame], size: int) -> None:
    """Decode and resize the photos of `splits` (frames of :func:`ala.data.split.split`) to `size` x `size`.

    Photos become RGB and are resized by Pillow's bilinear filter with its antialiasing, masks become 8-bit grey and
    are resized by nearest neighbour. `folder` (e.g. `data/store/384`) is replaced as a whole.

    Raises:
        UserError: a photo or mask does not decode, or the disk is too small.
    """
    photos = sum(map(len, splits.values()))
    need_room(folder, int(photos * size * size * 4 * 1.01), f"a store of {photos:,} photos at {size} x {size}")
    with atomic_folder(folder) as temporary:
        for name, frame in splits.items():
            _build_split(temporary, index, name, frame.sort_values("image_id", ignore_index=True), size)
        about = {
            "version": STORE_VERSION, "size": size, "names": index.classes,
            "splits": {name: len(frame) for name, frame in splits.items()},
        }  # fmt: skip
        (temporary / "store.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _build_split(folder: Path, index: CubIndex, name: str, frame: pd.DataFrame, size: int) -> None:
    count = len(frame)
    open_memmap = np.lib.format.open_memmap
    images = open_memmap(folder / f"{name}-images.npy", mode="w+", dtype=np.uint8, shape=(count, size, size, 3))
    masks = open_memmap(folder / f"{name}-masks.npy", mode="w+", dtype=np.uint8, shape=(count, size, size))
    reserve(folder / f"{name}-images.npy")
    reserve(folder / f"{name}-masks.npy")
    boxes = frame[["x", "y", "width", "height"]].to_numpy(dtype=np.float64, copy=True)
    paths, mask_paths = frame["path"].tolist(), frame["mask_path"].tolist()

    def fill(row: int) -> None:
        file = index.image_file(paths[row])
        try:
            with Image.open(file) as photo:
                boxes[row] *= np.array([size / photo.width, size / photo.height] * 2)
                images[row] = np.asarray(photo.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
            file = index.mask_file(mask_paths[row])
            with Image.open(file) as mask:
                masks[row] = np.asarray(mask.convert("L").resize((size, size), Image.Resampling.NEAREST))
        except (OSError, SyntaxError, ValueError) as error:  # Pillow reports damage by any of these
            raise UserError(f"{file} does not decode ({error}); run `dvc repro data` again") from None

    each(fill, range(count), f"{name} at {size} px")
    images.flush()
    masks.flush()
    np.save(folder / f"{name}-ids.npy", frame["image_id"].to_numpy(dtype=np.int64))
    np.save(folder / f"{name}-labels.npy", frame["label"].to_numpy(dtype=np.int64))
    np.save(folder / f"{name}-boxes.npy", boxes.astype(np.float32))
