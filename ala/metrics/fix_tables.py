"""Save and load the two tables of the stage `edge`, one row per image: scores of the fixes, and errors of the maps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ala.metrics.errors import FLAGS
from ala.utils.errors import UserError
from ala.utils.files import atomic_path

#: Fixes in the order of the tables; `original` is the map as it is.
FIXES = ("original", "ala+edge", "ala+largest", "ala+guided")
#: Threshold rules under which errors are sorted (ala/metrics/iou.py).
RULES = ("mean_std", "fixed", "val")

#: `edge.csv`. Insertion, deletion and id are empty for images outside the perturbation subset; `empty` marks a
#: prediction without a pixel.
FIX_COLUMNS = ["fix", "seed", "image_id", "iou", "empty", "insertion", "deletion", "id"]
#: `errors.csv`. `label` from 0; iou, fp and fn are shares of the union (ala/metrics/errors.py).
ERROR_COLUMNS = ["rule", "seed", "image_id", "label", "iou", "fp", "fn", *FLAGS]

_NEEDED = {"edge.csv": FIX_COLUMNS, "errors.csv": ERROR_COLUMNS}
_GROUPS = {"edge.csv": FIXES, "errors.csv": RULES}
_MAY_BE_EMPTY = {"insertion", "deletion", "id"}


def save(rows: pd.DataFrame, path: Path) -> None:
    """Write `rows` as `edge.csv` or `errors.csv`, by the name of `path`, with full precision, atomically."""
    with atomic_path(path) as temporary:
        rows[_NEEDED[path.name]].to_csv(temporary, index=False)


def load(path: Path, seed: int) -> pd.DataFrame | None:
    """Load what :func:`save` wrote for `seed`; None if there is no such file.

    Raises:
        UserError: it has other columns, another seed, an image twice or a missing number, or not every fix or rule has
            the same images.
    """
    if not path.exists():
        return None
    again = f"run `dvc repro edge@{seed}` again"
    try:
        rows = pd.read_csv(path, float_precision="round_trip")
    except ValueError as error:  # pandas' parser errors and undecodable text are ValueErrors
        raise UserError(f"{path} is no table ({error}); delete it and {again}") from None
    columns = _NEEDED[path.name]
    if list(rows.columns) != columns:
        raise UserError(f"{path} has the columns {list(rows.columns)}, not {columns}; {again}")
    if rows["seed"].unique().tolist() != [seed]:
        raise UserError(f"{path} holds seeds {rows['seed'].unique().tolist()}, its folder says {seed}; {again}")
    twice = rows.duplicated([columns[0], "image_id"])
    if twice.any():
        raise UserError(f"{path}: image {rows[twice].iloc[0]['image_id']} occurs twice for one {columns[0]}; {again}")
    images = {name: set(part["image_id"]) for name, part in rows.groupby(columns[0])}
    if set(images) != set(_GROUPS[path.name]) or len({frozenset(ids) for ids in images.values()}) > 1:
        raise UserError(
            f"{path}: not every {columns[0]} of {', '.join(_GROUPS[path.name])} has the same images; {again}"
        )
    absent = rows[[name for name in columns if name not in _MAY_BE_EMPTY]].isna().any()
    if absent.any():
        raise UserError(f"{path} lacks values of {', '.join(absent.index[absent])}; {again}")
    return rows
