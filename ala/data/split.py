"""Train, validation and test images (METHODS 1.4): a fixed number per class, independent of the training seed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from ala.config.schema import AtMost
from ala.data.cub import CubIndex
from ala.utils.errors import UserError
from ala.utils.files import atomic_folder, sha256

NAMES = ("train", "val", "test")
COLUMNS = ["image_id", "path", "label", "mask_path", "x", "y", "width", "height"]
_TYPES = {
    "image_id": "int64", "path": "str", "label": "int64", "mask_path": "str",
    "x": "float64", "y": "float64", "width": "float64", "height": "float64",
}  # fmt: skip


def split(
    index: CubIndex, split_seed: int, train_per_class: int, at_most: AtMost | None = None
) -> dict[str, pd.DataFrame]:
    """Divide the official training images into train and val; the official test images are test.

    For every class the official-train ids, ascending, are permuted by
    `Generator(PCG64(SeedSequence([split_seed, class_id])))` with class ids from 1; the first `train_per_class` are
    train, the rest val. On CUB's own lists 25 per class gives the slides' 5,000 / 994 / 5,794. With `at_most`, so many
    images of each split stay, spread evenly over its ids; the first and the last are among them.

    Returns:
        `train`, `val` and `test`, each with the columns `image_id, path, label, mask_path, x, y, width, height`
        (label from 0, box in pixels of the image), by ascending id.

    Raises:
        UserError: a class has too few training images to leave one for val, or no test image.
    """
    frame = index.frame.rename(columns={"class_id0": "label"})
    official = frame[frame["is_train"]]
    chosen: set[int] = set()
    for label, name in enumerate(index.classes):
        ids = np.sort(official.loc[official["label"] == label, "image_id"].to_numpy())
        if len(ids) <= train_per_class:
            raise UserError(
                f"class {label + 1} ({name}) of {index.root} has {len(ids)} official training photos,"
                f" data.train_per_class ({train_per_class}) must be smaller to leave some for validation; lower it"
            )
        if not ((frame["label"] == label) & ~frame["is_train"]).any():
            raise UserError(
                f"class {label + 1} ({name}) of {index.root} has no test photo;"
                " give some of its photos the flag 0 in train_test_split.txt"
            )
        order = np.random.Generator(np.random.PCG64(np.random.SeedSequence([split_seed, label + 1]))).permutation(ids)
        chosen.update(order[:train_per_class].tolist())
    in_train = frame["image_id"].isin(chosen)
    parts = {"train": in_train, "val": frame["is_train"] & ~in_train, "test": ~frame["is_train"]}
    whole = {key: frame.loc[mask, COLUMNS].sort_values("image_id", ignore_index=True) for key, mask in parts.items()}
    return whole if at_most is None else {key: _spread(rows, getattr(at_most, key)) for key, rows in whole.items()}


def _spread(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """`count` rows at equal distances, or all where there are no more."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return rows.iloc[places].reset_index(drop=True)


def write_splits(folder: Path, splits: dict[str, pd.DataFrame]) -> dict[str, dict[str, int | str]]:
    """Write `{train,val,test}.csv` and `summary.json` into `folder`, which is replaced as a whole.

    Returns:
        the summary: for each split `photos`, `classes` and the `sha256` of its file.
    """
    summary: dict[str, dict[str, int | str]] = {}
    with atomic_folder(folder) as temporary:
        for name in NAMES:
            file = temporary / f"{name}.csv"
            splits[name].to_csv(file, index=False, lineterminator="\n")
            rows = splits[name]
            summary[name] = {"photos": len(rows), "classes": int(rows["label"].nunique()), "sha256": sha256(file)}
        text = json.dumps(summary, indent=2, sort_keys=True) + "\n"
        (temporary / "summary.json").write_text(text, encoding="utf-8")
    return summary


def read_splits(folder: Path) -> dict[str, pd.DataFrame]:
    """Read what :func:`write_splits` wrote.

    Raises:
        UserError: a file is missing, or is no split.
    """
    found = {}
    for name in NAMES:
        file = Path(folder) / f"{name}.csv"
        try:
            frame = pd.read_csv(file, dtype=_TYPES, keep_default_na=False)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{file} does not exist; run `dvc repro split` first") from None
        except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
            raise UserError(f"{file} is no split ({error}); delete {folder} and run `dvc repro split`") from None
        if list(frame.columns) != COLUMNS or frame.empty:
            raise UserError(
                f"{file} has {len(frame)} rows of {', '.join(frame.columns)}, expected rows of {', '.join(COLUMNS)};"
                f" delete {folder} and run `dvc repro split`"
            )
        found[name] = frame
    return found
