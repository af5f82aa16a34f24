"""Align two rows on their common images and seeds, the basis of every comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from ala.report.run import Cell, Run

#: Metric: column of the per-image scores. `area` is not among them, :attr:`ala.report.run.Run.areas` has it.
SOURCES = {"miou": "iou_mean_std", "insertion": "insertion", "deletion": "deletion", "id": "id"}
#: +1 where more is better, -1 where less is.
SIGNS = {"miou": 1, "insertion": 1, "deletion": -1, "id": 1, "area": 1}
TITLES = {
    "miou": "mean IoU",
    "insertion": "Insertion",
    "deletion": "Deletion",
    "id": "ID",
    "area": "attended area",
}


class Pair(NamedTuple):
    """Scores `(seeds, images)` of two rows on the images and seeds that both have; `labels` `(images,)` are classes."""

    first: np.ndarray
    second: np.ndarray
    labels: np.ndarray


def common(run: Run, first: str, second: str, metric: str = "miou") -> Pair | None:
    """`metric` of rows `first` and `second` where both were measured; None where they have nothing in common."""
    sides = [{cell.seed: _values(run, cell, metric) for cell in run.of(row)} for row in (first, second)]
    return align(sides[0], sides[1], labels(run, first))


def align(first: Mapping[int, pd.Series], second: Mapping[int, pd.Series], labels: pd.Series) -> Pair | None:
    """The seeds of both sides and the images that both have under every such seed; None where there are none.

    Each side has scores by image id for each seed; `labels` has the class by image id.
    """
    seeds = [seed for seed in first if seed in second]
    ids = [set(side[seed].index) for side in (first, second) for seed in seeds]
    order = sorted(set.intersection(*ids)) if ids else []
    if not order:
        return None
    sides = [np.stack([side[seed].loc[order].to_numpy(float) for seed in seeds]) for side in (first, second)]
    return Pair(sides[0], sides[1], labels.loc[order].to_numpy())


def labels(run: Run, row: str) -> pd.Series:
    """The class of each image that `row` was scored on, by image id; empty where it was not run."""
    cells = run.of(row)
    parts = [cell.scores.set_index("image_id")["label"] for cell in cells] or [pd.Series(dtype=int)]
    joined = pd.concat(parts)
    return joined[~joined.index.duplicated()]


def _values(run: Run, cell: Cell, metric: str) -> pd.Series:
    """The metric by image id, images without it left out."""
    if metric == "area":
        return run.areas.get((cell.method, cell.seed), pd.Series(dtype=float))
    return cell.scores.set_index("image_id")[SOURCES[metric]].dropna()
