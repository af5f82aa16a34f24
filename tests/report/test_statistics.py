"""The rule of the verdicts against slow, obvious references and against the tests of which it is made."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ala.report.statistics import (
    MOST_SEEDS,
    Variance,
    difference,
    effect_sizes,
    half_width,
    holm,
    p_value,
    variance_of,
)

LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])


@pytest.fixture
def scores():
    """Four seeds and ten images of three classes, for two rows."""
    rng = np.random.default_rng(0)
    return rng.random((4, 10)), rng.random((4, 10)) - 0.1


def test_both_variances_by_loops(scores):
    found = variance_of(*scores, LABELS)
    means = [[sum(row) / 10 for row in side] for side in scores]
    parts = [sum((value - sum(each) / 4) ** 2 for value in each) / 3 / 4 for each in means]
    assert found.seeds == pytest.approx(sum(parts))
    assert found.seeds_df == pytest.approx(sum(parts) ** 2 / sum(part**2 / 3 for part in parts))

    gaps = [sum(scores[0][s][i] - scores[1][s][i] for s in range(4)) / 4 for i in range(10)]
    mean, total = sum(gaps) / 10, 0.0
    for label in range(3):
        total += (sum(gap - mean for gap, of in zip(gaps, LABELS, strict=True) if of == label) / 10) ** 2
    weights = [0.3, 0.2, 0.5]
    squares, cubes = sum(w**2 for w in weights), sum(w**3 for w in weights)
    assert found.classes == pytest.approx(total * squares / (squares - 2 * cubes + squares**2))


def test_without_class_effects_it_is_welch_s_test():
    """Every image shifts by the same amount from seed to seed, so that all classes differ alike."""
    shifts = np.array([[0.1, 0.4, -0.2, 0.3], [0.0, -0.3, -0.1, 0.05]])
    base = np.linspace(0, 1, 10)
    first, second = (base + shift[:, None] for shift in shifts)
    tested = difference(first, second, LABELS)
    assert tested is not None
    assert tested.p == pytest.approx(stats.ttest_ind(*shifts, equal_var=False).pvalue)
    assert tested.mean == pytest.approx(shifts[0].mean() - shifts[1].mean())


def test_without_seed_effects_it_is_a_t_test_over_class_means():
    gaps = np.array([0.2, 0.5, 0.1, 0.3, 0.4])
    first = np.tile(np.repeat(gaps, 3), (3, 1))
    tested = difference(first, np.zeros_like(first), np.repeat(np.arange(5), 3))
    assert tested is not None
    expected = stats.ttest_1samp(gaps, 0)
    assert tested.p == pytest.approx(expected.pvalue)
    assert (tested.low, tested.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert tested.seeds_to_halve is None  # classes alone


@pytest.mark.parametrize("sizes", [(4, 4, 4), (1, 5, 20), (30, 2, 2), (1, 1, 1, 1, 40)])
def test_the_variance_over_classes_is_right_for_classes_of_any_size(sizes):
    """On average it is the variance of the mean where classes differ, and at least that where images do."""
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    zero = np.zeros((1, 2, len(labels)))
    effects = rng.standard_normal((40_000, 1, len(sizes)))[..., labels]
    weights = np.array(sizes) / len(labels)
    assert variance_of(np.repeat(effects, 2, axis=1), zero, labels).classes.mean() == pytest.approx(
        (weights**2).sum(), rel=0.04
    )
    noise = np.repeat(rng.standard_normal((40_000, 1, len(labels))), 2, axis=1)
    assert variance_of(noise, zero, labels).classes.mean() > 0.96 / len(labels)


def test_degrees_of_freedom_fall_where_one_class_has_most_images():
    def degrees(*sizes):
        labels = np.repeat(np.arange(len(sizes)), sizes)
        return variance_of(np.ones((2, len(labels))), np.zeros((2, len(labels))), labels).classes_df

    assert degrees(5, 5, 5, 5) == pytest.approx(3)
    assert degrees(3, 40) == pytest.approx(1)
    assert 1 <= degrees(1, 1, 1, 40) < 1.5


def test_p_is_the_smallest_level_that_leaves_out_0(scores):
    found = variance_of(*scores, LABELS)
    for gap in (0.01, 0.2, 3.0):
        p = p_value(np.asarray(gap), found)
        assert half_width(found, p) == pytest.approx(gap)
    assert p_value(np.asarray(0.0), found) == 1


def test_the_interval_has_a_quantile_for_each_part():
    found = Variance(np.array(0.04), np.array(3.5), np.array(0.09), 9.0, np.array(0.0))
    expected = math.sqrt(stats.t.ppf(0.975, 3.5) ** 2 * 0.04 + stats.t.ppf(0.975, 9) ** 2 * 0.09)
    assert half_width(found) == pytest.approx(expected)


def test_many_comparisons_at_once_are_the_single_ones(scores):
    first, second = (np.stack([side, side[::-1] * 2]) for side in scores)
    both = variance_of(first, second, LABELS)
    for place in range(2):
        one = variance_of(first[place], second[place], LABELS)
        assert both.seeds[place] == pytest.approx(one.seeds)
        assert both.classes[place] == pytest.approx(one.classes)
        assert both.both[place] == pytest.approx(one.both)


def test_order_of_the_images_and_names_of_the_classes_do_not_matter(scores):
    order = np.random.default_rng(2).permutation(10)
    turned = difference(scores[0][:, order], scores[1][:, order], np.array([7, 40, 3])[LABELS][order])
    straight = difference(*scores, LABELS)
    assert turned is not None
    assert straight is not None
    assert (turned.mean, turned.p) == pytest.approx((straight.mean, straight.p))


def test_one_seed_or_one_class_is_not_enough(scores):
    assert difference(scores[0][:1], scores[1][:1], LABELS) is None
    assert difference(*scores, np.zeros(10, int)) is None
    assert difference(scores[0][:2], scores[1][:2], LABELS) is not None


def test_nothing_differs():
    found = difference(np.ones((3, 10)), np.ones((3, 10)), LABELS)
    assert found is not None
    assert (found.mean, found.low, found.high, found.p, found.seeds_to_halve) == (0, 0, 0, 1, None)


def test_seeds_to_halve_by_trying_each_number():
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(10), 4)
    first = 0.3 * rng.standard_normal((3, 1)) + 0.1 * rng.standard_normal((3, 40))
    second = 0.2 * rng.standard_normal((3, 1)) + 0.1 * rng.standard_normal((3, 40))
    tested, found = difference(first, second, labels), variance_of(first, second, labels)
    assert tested is not None

    def half(n):
        both = min(found.both, found.classes)
        classes = found.classes - both + both * 3 / n
        seeds = stats.t.ppf(0.975, found.seeds_df / 2 * (n - 1)) ** 2 * found.seeds * 3 / n
        return math.sqrt(seeds + stats.t.ppf(0.975, found.classes_df) ** 2 * classes)

    assert tested.half_width == pytest.approx(half(3))
    assert tested.seeds_to_halve == next(n for n in range(3, MOST_SEEDS) if half(n) <= half(3) / 2)


def test_what_seed_and_class_do_together_shrinks_with_seeds():
    """Noise of each training alone: nearly all of the variance over classes is due to seeds."""
    rng = np.random.default_rng(4)
    noise = rng.standard_normal((500, 3, 40))
    found = variance_of(noise, np.zeros_like(noise), np.repeat(np.arange(10), 4))
    assert found.classes.mean() == pytest.approx(1 / 120, rel=0.1)
    assert found.both.mean() == pytest.approx(1 / 120, rel=0.2)
    fixed = np.repeat(rng.standard_normal((500, 1, 40)), 3, axis=1)
    assert variance_of(fixed, np.zeros_like(fixed), np.repeat(np.arange(10), 4)).both.max() == pytest.approx(0)


def test_effect_sizes_by_their_definition():
    values = np.array([0.3, -0.1, 0.5, 0.7])
    mean = sum(values) / 4
    effect, biserial = effect_sizes(values)
    assert effect == pytest.approx(mean / math.sqrt(sum((v - mean) ** 2 for v in values) / 3))
    assert biserial == pytest.approx((2 + 3 + 4 - 1) / 10)
    effect, biserial = effect_sizes(np.zeros(5))
    assert math.isnan(effect)
    assert biserial == 0


def test_holm_by_hand():
    values = [0.01, 0.04, 0.03, 0.005]
    order = np.argsort(values)
    expected, running = [0.0] * 4, 0.0
    for place, index in enumerate(order):
        running = max(running, min(1, values[index] * (4 - place)))
        expected[index] = running
    assert holm(values) == pytest.approx(expected)
    assert holm([[0.5, 0.01], [0.04, 0.03]]) == pytest.approx(np.array([[0.5, 0.02], [0.06, 0.06]]))
    assert len(holm([])) == 0


def test_what_was_not_tested_is_no_part_of_the_family():
    assert holm([0.02, math.nan, 0.03]) == pytest.approx([0.04, math.nan, 0.04], nan_ok=True)
