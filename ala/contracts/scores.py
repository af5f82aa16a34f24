"""Save and load Scores: one row per (method, seed, image), from which every table, test and figure is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ala.utils.errors import UserError
from ala.utils.files import atomic_path

#: Columns in order. Insertion, deletion and id are empty for images outside the perturbation subset, the columns of
#: IoU for images without a map; `target` is the predicted class, whose probability insertion and deletion follow; the
#: booleans tell of empty predictions.
COLUMNS = [
    "method", "seed", "image_id", "label", "target", "correct",
    "iou_mean_std", "iou_fixed", "iou_otsu", "iou_val",
    "empty_mean_std", "empty_fixed", "empty_otsu", "empty_val",
    "insertion", "deletion", "id",
]  # fmt: skip

#: True or false, and empty for images without a map; pandas' nullable type keeps the three apart.
FLAGS = [column for column in COLUMNS if column.startswith("empty_")]

#: Columns that identify a row.
IDENTITY = ["method", "seed", "image_id"]

#: Columns of whole numbers, and of real ones or nothing.
WHOLE = ["seed", "image_id", "label", "target"]
REAL = [column for column in COLUMNS if column.startswith("iou_")] + ["insertion", "deletion", "id"]


def save(rows: pd.DataFrame, path: Path) -> None:
    """Write `rows` as CSV with full precision, atomically.

    Raises:
        UserError: the columns are not :data:`COLUMNS`, or an image occurs twice for one method and seed.
    """
    if list(rows.columns) != COLUMNS:
        raise UserError(f"{path}: scores have the columns {list(rows.columns)}, not {COLUMNS}")
    twice = rows.duplicated(IDENTITY)
    if twice.any():
        row = rows[twice].iloc[0]
        raise UserError(f"{path}: image {row.image_id} stands twice for {row.method}, seed {row.seed}")
    with atomic_path(path) as temporary:
        rows.to_csv(temporary, index=False)


def load(path: Path) -> pd.DataFrame:
    """Read what :func:`save` wrote.

    Raises:
        UserError: the file is missing, has other columns or values of other kinds, or an image occurs twice.
    """
    try:
        rows = pd.read_csv(path, float_precision="round_trip", dtype=dict.fromkeys(FLAGS, "boolean"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the evaluate stage that writes it") from None
    except ValueError as error:  # pandas' parser errors and undecodable text are ValueErrors
        raise UserError(f"{path} is no scores table ({error}); delete it and run its evaluate stage again") from None
    if list(rows.columns) != COLUMNS:
        raise UserError(f"{path} has the columns {list(rows.columns)}, not {COLUMNS}; run its evaluate stage again")
    for names, kind, good in (
        (WHOLE, "whole numbers", lambda values: values.dtype.kind == "i"),
        (REAL, "finite numbers", lambda values: values.dtype.kind in "if" and not np.isinf(values).any()),
        (["correct"], "True and False", lambda values: values.dtype == bool),
    ):
        odd = [name for name in names if not good(rows[name])]
        if odd:
            raise UserError(f"{path} has not only {kind} in the column {odd[0]}; run its evaluate stage again")
    if rows.duplicated(IDENTITY).any():
        raise UserError(f"{path} has an image twice for one method and seed; run its evaluate stage again")
    return rows.astype(dict.fromkeys(REAL, "float64"))
