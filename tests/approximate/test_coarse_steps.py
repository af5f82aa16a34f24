"""Coarser steps: the points they share with the fine curve, and a bound that holds as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from ala.approximate.coarse_steps import choose, coarser, error_bound
from ala.metrics.curves import Curves, area


def curves(n: int, steps: int, rough: float, seed: int = 0) -> Curves:
    random = np.random.default_rng(seed)
    rising = np.linspace(0, 1, steps + 1) ** 2 + rough * random.standard_normal((n, steps + 1))
    ids = np.arange(n)
    return Curves(np.full(n, "m"), ids, ids, rising, rising[:, ::-1], np.zeros(n), 0)


def test_coarser_curves_are_every_kth_point() -> None:
    fine = np.arange(14.0).reshape(2, 7)
    np.testing.assert_array_equal(coarser(fine, 3), [[0, 3, 6], [7, 10, 13]])
    np.testing.assert_array_equal(coarser(fine, 1), fine)
    with pytest.raises(ValueError, match="4 does not divide 6 steps"):
        coarser(fine, 4)


def test_the_coarsest_within_tolerance_is_chosen() -> None:
    pilot = curves(10, 24, 0.01)
    loose, tight = choose(pilot, 0.02), choose(pilot, 0.004)
    assert loose.factor > tight.factor >= 1
    for one, tolerance in ((loose, 0.02), (tight, 0.004)):
        assert one.bound <= tolerance
        larger = [k for k in (1, 2, 3, 4, 6, 8, 12, 24) if k > one.factor]
        assert all(max(error_bound(c, k) for c in (pilot.insertion, pilot.deletion)) > tolerance for k in larger)
    assert choose(pilot, 0).factor == 1


def test_the_bound_holds_for_other_photos() -> None:
    """A 95 % bound on the mean error of a population of photos, from a pilot of 12: it may fail one time in twenty."""
    held = []
    for seed in range(200):
        pilot, rest = curves(12, 24, 0.05, seed).insertion, curves(4000, 24, 0.05, 10_000).insertion
        error = abs((area(coarser(rest, 6)) - area(rest)).mean())
        held.append(error <= error_bound(pilot, 6))
    assert np.mean(held) > 0.93


def test_one_photo_is_no_pilot() -> None:
    with pytest.raises(ValueError, match="at least two photos"):
        choose(curves(1, 8, 0.1), 0.1)
