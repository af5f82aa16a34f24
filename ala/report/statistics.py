"""The statistics behind every table: intervals over photos, paired tests, how many seeds a difference needs.

All from scipy and statsmodels; here stands only which test, on which numbers, and what is done where it is undefined.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ala.runtime.seeds import numpy_generator

RESAMPLES = 2000  # of the bootstrap
LEVEL = 0.05  # of tests, after Holm's correction
POWER = 0.8  # chance to find a difference that is there
MOST_SEEDS = 1000  # nobody trains more; a larger answer is cut here


@dataclass(frozen=True)
class Paired:
    """Differences on the same photos.

    Attributes:
        n: photos.
        mean: of the differences.
        low, high: 95 % percentile bootstrap interval of that mean over photos.
        effect_size: mean over sample standard deviation of the differences (Cohen's d for pairs); NaN where they
            do not vary.
        rank_biserial: matched-pairs rank-biserial correlation, -1 to 1 (Kerby 2014); 0 where nothing differs.
        p: two-sided Wilcoxon signed-rank test, 1 where nothing differs.
    """

    n: int
    mean: float
    low: float
    high: float
    effect_size: float
    rank_biserial: float
    p: float


def interval(values: np.ndarray, *names: str) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of `(n,)` values; a point where all are equal.

    `names` derive the random stream, so the same question has the same answer in every run.
    """
    from scipy.stats import bootstrap

    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    result = bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="percentile", vectorized=True, batch=200,
        rng=numpy_generator(0, "claims", *names),
    )  # fmt: skip
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def paired(differences: np.ndarray, *names: str) -> Paired:
    """Test whether `(n,)` differences on the same photos are centred on 0."""
    from scipy.stats import rankdata, wilcoxon

    low, high = interval(differences, *names)
    moved = differences[differences != 0]
    if len(moved):
        p = float(wilcoxon(moved).pvalue)
        ranks = rankdata(np.abs(moved))
        biserial = float((ranks[moved > 0].sum() - ranks[moved < 0].sum()) / ranks.sum())
    else:
        p, biserial = 1.0, 0.0
    deviation = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    mean = float(differences.mean())
    return Paired(
        len(differences), mean, low, high, mean / deviation if deviation > 0 else math.nan, biserial, p
    )  # fmt: skip


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p values `(m,)` of one family, corrected by Holm's step-down method (1979); they keep their order."""
    from statsmodels.stats.multitest import multipletests

    return multipletests(np.asarray(p_values, float), method="holm")[1] if len(p_values) else np.zeros(0)


def seeds_needed(first: Sequence[float], second: Sequence[float]) -> int | None:
    """Seeds for each side that a two-sided t test needs to tell two rows apart, from their means per seed.

    At level 0.05 and power 0.8, with the difference and the pooled standard deviation seen here: a rough answer where
    they come from few seeds.

    Returns:
        At least 2, at most :data:`MOST_SEEDS`; None with fewer than two seeds on a side, or where the means are equal.
    """
    from statsmodels.stats.power import TTestIndPower

    if min(len(first), len(second)) < 2:
        return None
    gap = abs(float(np.mean(first)) - float(np.mean(second)))
    deviation = math.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / 2)
    if gap == 0:
        return None
    if deviation == 0:
        return 2
    effect, test = gap / deviation, TTestIndPower()

    def misses(n: int) -> bool:
        return bool(test.power(effect, n, LEVEL) < POWER)  # false for NaN: the power of a huge effect is 1

    # Power grows with n. statsmodels' own solver returns NaN for large effects, where two seeds are enough.
    return bisect_left(range(2, MOST_SEEDS), True, key=lambda n: not misses(n)) + 2
