"""The one rule behind every verdict: interval and p value of the difference between two rows, and Holm's correction.

Scores are `(..., seeds, images)`; images are nested in classes. The mean difference m of two rows is uncertain for two
reasons, each with a variance of its own:

* seeds: s_first² / S + s_second² / S, with sample variances of the means per seed. The trainings of two rows are
  independent even where they bear the same number; rows that are evaluated on one model correlate positively as far as
  measured, which makes the sum too large. Degrees of freedom by Welch (1938), S - 1 to 2 (S - 1).
* classes: between the class means of the differences averaged over seeds, images within classes included, because
  images of one class are not independent. Degrees of freedom by Bell and McCaffrey (2002), C - 1 for equal classes.

The interval is m ± √(t_seeds² V_seeds + t_classes² V_classes) with Student's t quantile of each part (Banerjee 1960,
Sankhyā 22): each part keeps its own degrees of freedom, so that a variance that three seeds happen to underestimate is
not covered by the many degrees of freedom of the classes. What differs by seed and class at once is counted in both
parts. p is the smallest level at which the interval leaves out 0. `python -m benchmarks.calibration` measures how often
true nulls are called and which differences are found (docs/protocols.md).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.05  # of tests, after Holm's correction, and of intervals
MIN_SEEDS = 2  # fewer have no variance
MIN_CLASSES = 2
MOST_SEEDS = 1000  # nobody trains more; a larger number is cut here
SMALLEST = 1e-100  # p values below are given as this


@dataclass(frozen=True)
class Variance:
    """Variance of mean differences in its two parts; `(...)`, one value per comparison.

    Attributes:
        seeds: over the seeds of both rows, `seeds_df` with its degrees of freedom.
        classes: over classes and their images, `classes_df` with its degrees of freedom.
        both: what of `classes` is due to seeds, too (seed by class, and noise of each training): it shrinks with more.
    """

    seeds: np.ndarray
    seeds_df: np.ndarray
    classes: np.ndarray
    classes_df: float
    both: np.ndarray


@dataclass(frozen=True)
class Tested:
    """The difference of two rows.

    Attributes:
        mean: first - second.
        half_width: of its 95 % interval.
        p: two-sided, not corrected.
        seeds_to_halve: seeds of each row at which the interval would be half as wide, at most :data:`MOST_SEEDS`;
            None where no number of seeds narrows it so far, because classes and images make up the rest.
    """

    mean: float
    half_width: float
    p: float
    seeds_to_halve: int | None

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width


def difference(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> Tested | None:
    """Test the mean of `first - second`, each `(seeds, images)`, against 0; `labels` `(images,)` are the classes.

    Returns None with fewer than :data:`MIN_SEEDS` seeds or :data:`MIN_CLASSES` classes: nothing is known of the spread.
    """
    seeds = len(first)
    if seeds < MIN_SEEDS or len(np.unique(labels)) < MIN_CLASSES:
        return None
    mean, variance = float(first.mean() - second.mean()), variance_of(first, second, labels)
    half = float(half_width(variance))
    return Tested(mean, half, float(p_value(np.asarray(mean), variance)), _seeds_to_halve(variance, seeds))


def variance_of(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> Variance:
    """Estimate the variance of `first.mean() - second.mean()` over the last two axes, `(..., seeds, images)`."""
    seeds, images = first.shape[-2:]
    index = np.unique(labels, return_inverse=True)[1]
    share = np.eye(index.max() + 1)[index] / images  # (images, C): scores @ share are sums by class over all images
    weights = share.sum(axis=0)  # (C,)

    sides = [side.mean(axis=-1).var(axis=-1, ddof=1) / seeds for side in (first, second)]  # each (...)
    total, squares = sides[0] + sides[1], sides[0] ** 2 + sides[1] ** 2
    with np.errstate(invalid="ignore"):
        seeds_df = np.where(squares > 0, total**2 / squares, 1) * (seeds - 1)

    centre = np.eye(len(weights)) - weights  # (C, C): class effects less their mean over images
    form = centre.T @ np.diag(weights**2) @ centre
    trace = np.trace(form)
    gaps = (first - second).mean(axis=-2)  # (..., images)
    gaps = gaps - gaps.mean(axis=-1, keepdims=True)
    classes = ((gaps @ share) ** 2).sum(axis=-1) * (weights**2).sum() / trace

    rest = np.zeros_like(classes)
    for side in (first, second):
        alone = side - side.mean(axis=-1, keepdims=True) - side.mean(axis=-2, keepdims=True)
        alone = alone + side.mean(axis=(-2, -1), keepdims=True)  # (..., seeds, images)
        rest = rest + ((alone @ share) ** 2).sum(axis=(-2, -1)) / (seeds * (seeds - 1) * (1 - (weights**2).sum()))
    return Variance(total, seeds_df, classes, float(trace**2 / (form**2).sum()), rest)


def half_width(variance: Variance, level: float | np.ndarray = LEVEL) -> np.ndarray:
    """Half the width of the interval of confidence 1 - `level`, `(...)`."""
    from scipy.special import stdtrit

    seeds = stdtrit(variance.seeds_df, np.asarray(level) / 2) ** 2 * variance.seeds
    return np.asarray(np.sqrt(seeds + stdtrit(variance.classes_df, np.asarray(level) / 2) ** 2 * variance.classes))


def p_value(difference: np.ndarray, variance: Variance) -> np.ndarray:
    """The smallest level whose interval leaves out 0, `(...)`; 1 where nothing differs.

    Bisection of log p, 60 halvings of [log :data:`SMALLEST`, 0].
    """
    distance = np.abs(difference)
    low, high = np.full(distance.shape, np.log(SMALLEST)), np.zeros(distance.shape)
    for _ in range(60):
        middle = (low + high) / 2
        outside = distance > half_width(variance, np.exp(middle))
        low, high = np.where(outside, low, middle), np.where(outside, middle, high)
    return np.where(distance > 0, np.exp(high), 1.0)


def _seeds_to_halve(variance: Variance, seeds: int) -> int | None:
    both = np.minimum(variance.both, variance.classes)  # an estimate of its own may exceed what it is a part of
    goal, fixed = float(half_width(variance)) / 2, variance.classes - both

    def wider(n: float) -> bool:
        fewer = seeds / n
        parts = Variance(variance.seeds * fewer, variance.seeds_df * (n - 1) / (seeds - 1),
                         fixed + both * fewer, variance.classes_df, both * fewer)  # fmt: skip
        return bool(half_width(parts) > goal)

    if goal == 0 or wider(1e12):
        return None
    return bisect_left(range(seeds, MOST_SEEDS), True, key=lambda n: not wider(n)) + seeds


def effect_sizes(differences: np.ndarray) -> tuple[float, float]:
    """Of `(n,)` paired differences: mean over sample standard deviation (Cohen's d for pairs; NaN where they do not
    vary), and the matched-pairs rank-biserial correlation, -1 to 1 (Kerby 2014; 0 where nothing differs)."""
    from scipy.stats import rankdata

    deviation = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    moved = differences[differences != 0]
    ranks = rankdata(np.abs(moved))
    biserial = float((ranks[moved > 0].sum() - ranks[moved < 0].sum()) / ranks.sum()) if len(moved) else 0.0
    return float(differences.mean()) / deviation if deviation > 0 else float("nan"), biserial


def p_text(value: float) -> str:
    """A p value to three digits; small ones as `< 0.001`."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p values `(..., m)` of families of m, corrected by Holm's step-down method (1979); they keep their order.

    NaN, a comparison that could not be tested, stays NaN and does not belong to the family.
    """
    values = np.asarray(p_values, float)
    order = np.argsort(values, axis=-1)  # NaN last
    left = (~np.isnan(values)).sum(axis=-1, keepdims=True) - np.arange(values.shape[-1])  # hypotheses not yet decided
    corrected = np.empty_like(values)
    steps = np.maximum.accumulate(np.take_along_axis(values, order, axis=-1) * left, axis=-1)
    np.put_along_axis(corrected, order, np.minimum(steps, 1), axis=-1)
    return corrected
