"""Intervals, paired tests, Holm and power against slow, obvious references."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from ala.report.statistics import MOST_SEEDS, holm, interval, paired, seeds_needed


def test_wilcoxon_against_all_sign_patterns():
    """Exact p: the share of the 2^7 sign patterns whose rank sum is at least as far from the middle."""
    values = np.array([0.3, -0.1, 0.5, 0.7, 0.2, -0.4, 0.6])
    ranks = np.argsort(np.argsort(np.abs(values))) + 1
    seen = ranks[values > 0].sum()
    middle = ranks.sum() / 2
    sums = [ranks[list(signs)].sum() for n in range(8) for signs in itertools.combinations(range(7), n)]
    p = np.mean([abs(total - middle) >= abs(seen - middle) for total in sums])
    assert paired(values, "x").p == pytest.approx(p)


def test_effect_sizes_by_their_definition():
    values = np.array([0.3, -0.1, 0.5, 0.7])
    mean = sum(values) / 4
    found = paired(values, "x")
    assert found.effect_size == pytest.approx(mean / math.sqrt(sum((v - mean) ** 2 for v in values) / 3))
    assert found.rank_biserial == pytest.approx((2 + 3 + 4 - 1) / 10)


def test_nothing_differs():
    found = paired(np.zeros(5), "x")
    assert (found.mean, found.low, found.high, found.p, found.rank_biserial) == (0, 0, 0, 1, 0)
    assert math.isnan(found.effect_size)


def test_the_interval_covers_and_repeats():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        low, high = interval(rng.normal(1, 1, 40), "coverage", str(trial))
        hits += low <= 1 <= high
    assert 178 <= hits <= 199  # 95 % of 200, less a little: the percentile bootstrap of 40 values is narrow
    values = rng.random(20)
    assert interval(values, "a") == interval(values, "a")
    assert interval(values, "a") != interval(values, "b")


def test_holm_by_hand():
    values = [0.01, 0.04, 0.03, 0.005]
    order = np.argsort(values)
    expected, running = [0.0] * 4, 0.0
    for place, index in enumerate(order):
        running = max(running, min(1, values[index] * (4 - place)))
        expected[index] = running
    assert holm(values) == pytest.approx(expected)
    assert len(holm([])) == 0


def test_seeds_needed_reach_the_power_and_one_fewer_does_not():
    first, second = [0.50, 0.54, 0.46], [0.55, 0.59, 0.51]
    n = seeds_needed(first, second)
    assert n is not None
    effect = 0.05 / 0.04

    def power(n):
        degrees, shift = 2 * n - 2, effect * math.sqrt(n / 2)
        edge = stats.t.ppf(0.975, degrees)
        return stats.nct.sf(edge, degrees, shift) + stats.nct.cdf(-edge, degrees, shift)

    assert power(n) >= 0.8 > power(n - 1)


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ([0.5], [0.6], None),  # one seed has no spread
        ([0.5, 0.6], [0.6, 0.5], None),  # equal means: no number of seeds
        ([0.5, 0.5], [0.6, 0.6], 2),  # no spread at all
        ([0.1, 0.101], [0.9, 0.901], 2),
        ([0.5, 0.6], [0.5001, 0.6001], MOST_SEEDS),
    ],
)
def test_seeds_needed_at_the_edges(first, second, answer):
    assert seeds_needed(first, second) == answer
