"""Verdicts follow from the numbers: each rule once, and the numbers against a slow reference."""

from __future__ import annotations

import numpy as np
import pytest

from ala.report import claims
from ala.report.claims import Claim, compare, judge

MAIN = "aea-true-sbn-true"


@pytest.mark.parametrize(
    ("difference", "spread", "low", "high", "n_seeds", "verdict"),
    [
        (0.10, 0.02, 0.05, 0.15, 3, "holds"),
        (-0.10, 0.02, -0.15, -0.05, 3, "does not hold"),
        (0.10, 0.12, 0.05, 0.15, 3, "cannot be told"),  # within the spread over seeds
        (0.10, 0.02, -0.01, 0.2, 3, "cannot be told"),  # photos disagree
        (0.10, 0.02, 0.05, 0.15, 2, "cannot be told"),  # two seeds
        (0.10, None, 0.05, 0.15, 1, "cannot be told"),
        (-0.01, 0.02, -0.02, 0.01, 3, "cannot be told"),
        (0.0, 0.0, 0.0, 0.0, 3, "cannot be told"),
    ],
)
def test_verdicts(difference, spread, low, high, n_seeds, verdict):
    assert judge(difference, spread, low, high, n_seeds)[0] == verdict


def test_only_common_photos_and_seeds_are_compared(run_of, cell_of):
    """F-CAM has no IoU on photo 3, RISE no seed 2: means are over photos 1 and 2 of seeds 0 and 1."""
    run = run_of(
        *(cell_of("fcam", seed, [0.5 + 0.1 * seed, 0.7, np.nan]) for seed in (0, 1, 2)),
        *(cell_of("rise", seed, [0.2, 0.3, 0.9]) for seed in (0, 1)),
    )
    line = compare(run, Claim("fcam", "rise", "main"))
    assert (line["n_seeds"], line["n_images"]) == (2, 2)
    assert line["higher_mean"] == pytest.approx((0.6 + 0.65) / 2)
    assert line["lower_mean"] == pytest.approx(0.25)
    assert line["difference"] == pytest.approx(0.375)
    assert line["spread"] == pytest.approx(0.05 / np.sqrt(2))  # sd of (0.6, 0.65), and 0
    assert line["paper_difference"] == pytest.approx(0.16)
    assert line["verdict"] == "cannot be told"
    assert "2 common seeds" in str(line["reason"])


def test_interval_is_a_paired_percentile_bootstrap(run_of, cell_of):
    rng = np.random.default_rng(3)
    low, gain = rng.random(60), rng.normal(0.05, 0.1, 60)
    run = run_of(
        *(cell_of(MAIN, seed, (low + gain).tolist()) for seed in (0, 1, 2)),
        *(cell_of("center", seed, low.tolist()) for seed in (0, 1, 2)),
    )
    line = compare(run, Claim("ala", "center"))
    means = np.sort([gain[rng.integers(0, 60, 60)].mean() for _ in range(4000)])
    assert line["ci_low"] == pytest.approx(means[100], abs=0.004)
    assert line["ci_high"] == pytest.approx(means[-100], abs=0.004)
    assert compare(run, Claim("ala", "center")) == line  # the same numbers every time


def test_table_asks_every_claim_and_shows_what_was_not_run(run_of, cell_of):
    run = run_of(*(cell_of(MAIN, seed, [0.8, 0.9]) for seed in (0, 1, 2)))
    table = claims.table(run).set_index("claim")
    assert list(table.index) == [
        "ALA above F-CAM", "F-CAM above RISE", "(iii) above (i)", "(iii) above (ii)", "(iii) above (iv)",
        "ALA above centred Gaussian", "F-CAM above centred Gaussian", "ABN above centred Gaussian",
    ]  # fmt: skip
    assert set(table["verdict"]) == {"not run"}


def test_a_clear_claim_holds_and_its_opposite_does_not(run_of, cell_of):
    rng = np.random.default_rng(0)
    run = run_of(
        *(cell_of(MAIN, seed, (0.8 + 0.01 * rng.random(9)).tolist()) for seed in (0, 1, 2)),
        *(cell_of("fcam", seed, (0.5 + 0.01 * rng.random(9)).tolist()) for seed in (0, 1, 2)),
        *(cell_of("rise", seed, (0.6 + 0.01 * rng.random(9)).tolist()) for seed in (0, 1, 2)),
    )
    verdicts = claims.table(run).set_index("claim")["verdict"]
    assert verdicts["ALA above F-CAM"] == "holds"
    assert verdicts["F-CAM above RISE"] == "does not hold"
