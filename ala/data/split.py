"""Train, validation and test images (METHODS 1.4): a fixed number per class, independent of the training seed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd

from ala.config.schema import AtMost
from ala.data.index import Index
from ala.utils.errors import UserError
from ala.utils.files import atomic_folder, sha256

NAMES = ("train", "val", "test")
COLUMNS = ["image_id", "path", "label"]
_TYPES = {"image_id": "int64", "path": "str", "label": "int64"}


def split(
    index: Index,
    split_seed: int,
    train_per_class: int,
    at_most: AtMost | None = None,
    test_per_class: int | None = None,
) -> dict[str, pd.DataFrame]:
    """Divide the training images of the data set into train and val; its test images are test.

    For every class its training ids, ascending, are permuted by
    `Generator(PCG64(SeedSequence([split_seed, label + 1])))` with labels from 0; the first `train_per_class` are train,
    the rest val. On CUB's own lists 25 per class gives the slides' 5,000 / 994 / 5,794. Where the data set does not say
    which images are for testing, `test_per_class` of each class are drawn before, by `[split_seed, label + 1, 1]`. With
    `at_most`, so many images of each split stay, spread evenly over its ids; the first and the last are among them.

    Returns:
        `train`, `val` and `test`, each with the columns `image_id, path, label` (from 0), by ascending id.

    Raises:
        UserError: a class has too few training images to leave one for val, or no test image; or test images are
            neither listed nor to be drawn, or both.
    """
    labels = index.labels
    frame = pd.DataFrame(
        [(one.image_id, one.path, labels[one.class_id], one.split == "test") for one in index.entries],
        columns=[*COLUMNS, "test"],
    ).sort_values("image_id", ignore_index=True)
    _check_test_images(index, test_per_class)
    chosen: set[int] = set()
    for label, name in enumerate(index.names):
        of_class = frame["label"] == label
        if test_per_class is not None:
            ids = frame.loc[of_class, "image_id"].to_numpy()
            drawn = _generator(split_seed, label + 1, 1).permutation(ids)[:test_per_class]
            frame.loc[frame["image_id"].isin(drawn), "test"] = True
        ids = frame.loc[of_class & ~frame["test"], "image_id"].to_numpy()
        if len(ids) <= train_per_class:
            raise UserError(
                f"class {name} of {index.listing} has {len(ids)} training images, data.train_per_class"
                f" ({train_per_class}) must be smaller to leave some for validation; lower it"
            )
        if not (of_class & frame["test"]).any():
            raise UserError(f"class {name} of {index.listing} has no test image; mark some of its images for testing")
        chosen.update(_generator(split_seed, label + 1).permutation(ids)[:train_per_class].tolist())
    in_train = frame["image_id"].isin(chosen)
    parts = {"train": in_train, "val": ~frame["test"] & ~in_train, "test": frame["test"]}
    whole = {key: frame.loc[mask, COLUMNS].reset_index(drop=True) for key, mask in parts.items()}
    return whole if at_most is None else {key: _spread(rows, getattr(at_most, key)) for key, rows in whole.items()}


def _generator(*numbers: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(numbers)))


def _check_test_images(index: Index, test_per_class: int | None) -> None:
    listed = index.entries[0].split is not None
    if listed and test_per_class is not None:
        raise UserError(
            f"{index.listing} says which images are for testing, so data.test_per_class ({test_per_class}) cannot be"
            " drawn; set it to null"
        )
    if not listed and test_per_class is None:
        raise UserError(
            f"{index.listing} does not say which images are for testing; set data.test_per_class, or give it folders"
            " train and test"
        )


def _spread(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """`count` rows at equal distances, or all where there are no more."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return rows.iloc[places].reset_index(drop=True)


def write_splits(folder: Path, splits: dict[str, pd.DataFrame]) -> dict[str, dict[str, int | str]]:
    """Write `{train,val,test}.csv` and `summary.json` into `folder`, which is replaced as a whole.

    Returns:
        the summary: for each split `images`, `classes` and the `sha256` of its file.
    """
    summary: dict[str, dict[str, int | str]] = {}
    with atomic_folder(folder) as temporary:
        for name in NAMES:
            file = temporary / f"{name}.csv"
            splits[name].to_csv(file, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
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
