"""From scores of images to the numbers of tables: the mean over images first, then mean and spread over seeds.

The spread is the sample standard deviation over seeds (ddof = 1, METHODS 2.7); one seed has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

#: Scores by image id, ascending, for each seed; an empty series where a seed was run but has none.
Scores = Mapping[int, pd.Series]
#: Ids of images by seed.
Images = Mapping[int, frozenset[int]]


class Metric(NamedTuple):
    """A column of the tables: where the long scores have it, how it is called, +1 where more is better."""

    protocol: str
    metric: str
    title: str
    sign: int = 1


METRICS = {
    "accuracy": Metric("prediction", "correct", "accuracy"),
    "miou": Metric("majority-mean_std", "iou", "mean IoU"),
    "miou_fixed": Metric("majority-fixed", "iou", "mean IoU, fixed 0.5"),
    "miou_otsu": Metric("majority-otsu", "iou", "mean IoU, Otsu"),
    "miou_val": Metric("majority-val", "iou", "mean IoU, best on validation"),
    "insertion": Metric("official-predicted", "insertion", "Insertion"),
    "deletion": Metric("official-predicted", "deletion", "Deletion", -1),
    "id": Metric("official-predicted", "id", "ID"),
    "area": Metric("attended", "area", "attended area"),
}
#: Those that the slides print, and that are tested.
TESTED = ("miou", "insertion", "deletion", "id")


class Summary(NamedTuple):
    """Mean and sample standard deviation over seeds of the means over images, NaN where they do not exist.

    `n_images` is the smallest number over the seeds.
    """

    mean: float
    std: float
    n_seeds: int
    n_images: int


def means(scores: Scores, images: Images | None = None) -> pd.Series:
    """The mean over images by seed, NaN where a seed has none; with `images`, over those alone."""
    return pd.Series({seed: float(only(values, seed, images).mean()) for seed, values in scores.items()}, dtype=float)


def only(values: pd.Series, seed: int, images: Images | None) -> pd.Series:
    """Those of the values whose image is among the `images` of the seed; all where None."""
    return values if images is None else values[values.index.isin(images.get(seed, frozenset()))]


def summarise(scores: Scores, images: Images | None = None) -> Summary:
    """Mean over images, then over seeds; a seed without any score leaves mean and spread NaN, because a mean over fewer
    seeds would claim all of them."""
    own = means(scores, images)
    counts = [len(only(values, seed, images)) for seed, values in scores.items()]
    return Summary(*spread(own), len(own), min(counts, default=0))


def spread(values: pd.Series) -> tuple[float, float]:
    """Mean and sample standard deviation; NaN where a value is NaN, and the latter of a single one."""
    return float(values.mean(skipna=False)), float(values.std(ddof=1, skipna=False))


def common(several: Iterable[Scores]) -> dict[int, frozenset[int]]:
    """The images that all of `several` rows have a score of, by seed.

    Means of two rows may be compared on these alone. A row without any score at a seed takes no part in it.
    """
    ids: dict[int, list[frozenset[int]]] = {}
    for scores in several:
        for seed, values in scores.items():
            if len(values):
                ids.setdefault(seed, []).append(frozenset(values.index))
    return {seed: frozenset.intersection(*sets) for seed, sets in ids.items()}


class Pair(NamedTuple):
    """Scores `(seeds, images)` of two rows on the images and seeds that both have; `labels` `(images,)` are classes."""

    first: np.ndarray
    second: np.ndarray
    labels: np.ndarray


def align(first: Scores, second: Scores, labels: pd.Series) -> Pair | None:
    """The seeds that both have scores of, and the images that both have under every such seed; None for none.

    `labels` has the class by image id.
    """
    seeds = [seed for seed in first if seed in second and len(first[seed]) and len(second[seed])]
    ids = [set(side[seed].index) for side in (first, second) for seed in seeds]
    order = sorted(set.intersection(*ids)) if ids else []
    if not order:
        return None
    sides = [np.stack([side[seed].loc[order].to_numpy(float) for seed in seeds]) for side in (first, second)]
    return Pair(sides[0], sides[1], labels.loc[order].to_numpy())
