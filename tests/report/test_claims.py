"""Verdicts follow from the numbers: each rule once, and the numbers against a slow reference."""

from __future__ import annotations

import numpy as np
import pandas as pd
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
        *(f"{first} better than {second} in {metric}" for metric in ("mean IoU", "Insertion", "Deletion", "ID")
          for first, second in (("ALA", "F-CAM"), ("F-CAM", "RISE"))),
        "SBN contributes most: without AEA (ii) mean IoU is better than without SBN (i)",
        *(f"(iii) better than {row} in mean IoU" for row in ("(i)", "(ii)", "(iv)")),
        "AEA widens the attended region: (iii) against (ii)",
        *(f"{row} better than centred Gaussian in mean IoU" for row in ("ALA", "F-CAM", "ABN")),
        "Without SBN (i) every metric is worst", "ID = Insertion − Deletion, photo by photo",
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
    assert verdicts["ALA better than F-CAM in mean IoU"] == "holds"
    assert verdicts["F-CAM better than RISE in mean IoU"] == "does not hold"


def along(rng, level):
    return (level + 0.01 * rng.random(9)).tolist()


def test_less_deletion_is_better(run_of, cell_of):
    """Deletion is half of insertion in these cells: ALA's is smaller, so it is better there and worse in Insertion."""
    rng = np.random.default_rng(0)
    run = run_of(
        *(cell_of(MAIN, seed, [0.5] * 9, along(rng, 0.4)) for seed in (0, 1, 2)),
        *(cell_of("fcam", seed, [0.5] * 9, along(rng, 0.8)) for seed in (0, 1, 2)),
    )
    deletion = compare(run, Claim("ala", "fcam", "main", "deletion"))
    assert deletion["difference"] == pytest.approx(0.2, abs=0.01)
    assert deletion["paper_difference"] == pytest.approx(0.034 - 0.007)
    assert deletion["verdict"] == "holds"
    assert compare(run, Claim("ala", "fcam", "main", "insertion"))["verdict"] == "does not hold"


ROWS = {"i": "aea-true-sbn-false", "ii": "aea-false-sbn-true", "iii": MAIN}


def ablation(run_of, cell_of, levels, areas=None):
    """Rows (i) to (iii) with IoU and insertion at `levels`; ID follows insertion, deletion is half of it, too."""
    rng = np.random.default_rng(1)
    cells = [cell_of(ROWS[row], seed, along(rng, level), along(rng, level))
             for row, level in levels.items() for seed in (0, 1, 2)]  # fmt: skip
    run = run_of(*cells)
    for row, level in (areas or {}).items():
        for seed in (0, 1, 2):
            run.areas[ROWS[row], seed] = pd.Series(along(rng, level), index=np.arange(1, 10))
    return run


def test_every_metric_worst_needs_all_eight_comparisons(run_of, cell_of):
    run = ablation(run_of, cell_of, {"i": 0.2, "ii": 0.4, "iii": 0.6})
    line = claims.table(run).set_index("claim").loc["Without SBN (i) every metric is worst"]
    assert line["verdict"] == "does not hold"  # its deletion, half of a small insertion, is the best
    assert line["reason"].startswith(
        "of 8 comparisons 6 hold, 2 do not, 0 cannot be told; (i) is better than ii in Del"
    )


def test_a_wider_region_is_told_from_the_areas(run_of, cell_of):
    levels = {"i": 0.2, "ii": 0.4, "iii": 0.6}
    name = "AEA widens the attended region: (iii) against (ii)"
    for areas, verdict in (
        ({"ii": 0.2, "iii": 0.4}, "holds"), ({"ii": 0.4, "iii": 0.2}, "does not hold"), ({"ii": 0.4}, "not run"),
    ):  # fmt: skip
        table = claims.table(ablation(run_of, cell_of, levels, areas)).set_index("claim")
        assert table.loc[name, "verdict"] == verdict


def test_an_id_that_is_not_the_difference_is_found(run_of, cell_of):
    name = "ID = Insertion − Deletion, photo by photo"
    run = ablation(run_of, cell_of, {"i": 0.2})
    assert claims.table(run).set_index("claim").loc[name, "verdict"] == "holds"
    run.cells[ROWS["i"], 1].scores.loc[3, "id"] += 0.01
    line = claims.table(run).set_index("claim").loc[name]
    assert line["verdict"] == "does not hold"
    assert line["difference"] == pytest.approx(0.01)
