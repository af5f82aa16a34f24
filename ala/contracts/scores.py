"""Scores: one long table, one row per number; every table, test and figure is computed from these rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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

#: The long table: one row per number. `model` is the one whose predictions were followed; `image_id` is -1 for a number
#: of the whole set; `value` is never empty (what was not measured has no row).
LONG = ["method", "model", "seed", "image_id", "metric", "protocol", "value"]

#: Column of the wide table: (protocol, metric) of the long one.
WIDE = {
    "label": ("prediction", "label"),
    "target": ("prediction", "target"),
    "correct": ("prediction", "correct"),
    **{f"iou_{rule}": (f"majority-{rule}", "iou") for rule in ("mean_std", "fixed", "otsu", "val")},
    **{f"empty_{rule}": (f"majority-{rule}", "empty") for rule in ("mean_std", "fixed", "otsu", "val")},
    **{name: ("official-predicted", name) for name in ("insertion", "deletion", "id")},
}


def long_rows(
    method: str, model: str, seed: int, image_ids: np.ndarray | None, numbers: Mapping[str, Any]
) -> pd.DataFrame:
    """Rows of the long table.

    Args:
        image_ids: int64 `(n,)`, or None for numbers of the whole set.
        numbers: `protocol/metric` to values `(n,)`, or to one number; keys that begin with `_` are left out.
    """
    parts = []
    for name, values in numbers.items():
        if name.startswith("_"):
            continue
        protocol, _, metric = name.partition("/")
        ids = [-1] if image_ids is None else image_ids
        found = np.atleast_1d(np.asarray(values, dtype=np.float64))
        known = ~np.isnan(found)
        parts.append(
            pd.DataFrame(
                {"method": method, "model": model, "seed": seed, "image_id": np.asarray(ids)[known], "metric": metric,
                 "protocol": protocol, "value": found[known]}
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)[LONG] if parts else pd.DataFrame(columns=LONG)


def save(rows: pd.DataFrame, path: Path) -> None:
    """Write the long table as CSV with full precision, atomically. CSV, because a diff, a spreadsheet and DVC read it
    as it is and pandas needs no further library; at CUB's size a method has 100,000 rows, 8 MB.

    Raises:
        UserError: the columns are not :data:`LONG`, a value is not finite, or a number occurs twice.
    """
    _check(rows, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        rows.to_csv(temporary, index=False, lineterminator="\n")


def load(path: Path) -> pd.DataFrame:
    """Read what :func:`save` wrote.

    Raises:
        UserError: the file is missing, has other columns or values of other kinds, or a number occurs twice.
    """
    try:
        rows = pd.read_csv(path, float_precision="round_trip", dtype={"model": str}, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the score stage that writes it") from None
    except ValueError as error:  # pandas' parser errors and undecodable text are ValueErrors
        raise UserError(f"{path} is no scores table ({error}); delete it and run its score stage again") from None
    _check(rows, path)
    return rows.astype({"value": "float64"})


def _check(rows: pd.DataFrame, path: Path) -> None:
    again = "run its score stage again"
    if list(rows.columns) != LONG:
        raise UserError(f"{path} has the columns {list(rows.columns)}, not {LONG}; {again}")
    for name, kinds, what in (
        ("seed", "i", "whole numbers"),
        ("image_id", "i", "whole numbers"),
        ("value", "if", "numbers"),
    ):
        if len(rows) and rows[name].dtype.kind not in kinds:
            raise UserError(f"{path} has not only {what} in the column {name}; {again}")
    if len(rows) and not np.isfinite(rows["value"]).all():
        raise UserError(f"{path} has a value that is not finite; {again}")
    twice = rows.duplicated([name for name in LONG if name != "value"])
    if twice.any():
        row = rows[twice].iloc[0]
        raise UserError(
            f"{path}: {row.protocol}/{row.metric} of image {row.image_id} occurs twice for {row.method}; {again}"
        )


def wide(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per image in the columns of :data:`COLUMNS`, from the long rows of one method and seed.

    Columns of metrics that were not measured are empty.
    """
    own = rows[rows["image_id"] >= 0]
    table = pd.DataFrame({"image_id": np.sort(own["image_id"].unique())})
    table["method"], table["seed"] = own["method"].iloc[0], own["seed"].iloc[0]
    for column, (protocol, metric) in WIDE.items():
        part = own[(own["protocol"] == protocol) & (own["metric"] == metric)].set_index("image_id")["value"]
        table[column] = table["image_id"].map(part)
    table = table.astype({"label": "int64", "target": "int64", "correct": "bool", **dict.fromkeys(FLAGS, "boolean")})
    return table[COLUMNS]
