"""The same photos and seeds of two rows, side by side: what every comparison is made of."""

from __future__ import annotations

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
    """Scores `(seeds, images)` of two rows on the photos and seeds that both have."""

    first: np.ndarray
    second: np.ndarray


def common(run: Run, first: str, second: str, metric: str = "miou") -> Pair | None:
    """`metric` of rows `first` and `second` where both were measured; None where they have nothing in common."""
    sides = [{cell.seed: _values(run, cell, metric) for cell in run.of(row)} for row in (first, second)]
    seeds = [seed for seed in sides[0] if seed in sides[1]]
    photos = set.intersection(*(set(side[seed].index) for side in sides for seed in seeds)) if seeds else set()
    if not photos:
        return None
    order = sorted(photos)
    return Pair(*(np.stack([side[seed].loc[order].to_numpy(float) for seed in seeds]) for side in sides))


def _values(run: Run, cell: Cell, metric: str) -> pd.Series:
    """The metric by image id, photos without it left out."""
    if metric == "area":
        return run.areas.get((cell.method, cell.seed), pd.Series(dtype=float))
    return cell.scores.set_index("image_id")[SOURCES[metric]].dropna()
