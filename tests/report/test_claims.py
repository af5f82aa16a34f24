"""Verdicts follow from the numbers: each rule once, and the numbers against a slow reference."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ala.report import claims
from ala.report.claims import Outcome, compare, every, judge
from ala.report.run import Key
from ala.report.slides import Claim
from ala.report.statistics import difference

MAIN = "aea-true-sbn-true"


def outcome(p, direction, why=""):
    return Outcome(dict.fromkeys(claims.COLUMNS), p, direction, why)


@pytest.mark.parametrize(
    ("p", "direction", "verdict", "reason"),
    [
        (0.01, 1, "holds", "p 0.040 after correction for 4 claims"),
        (0.01, -1, "does not hold", "the other way round, p 0.040 after correction for 4 claims"),
        (0.0001, 1, "holds", "p < 0.001 after correction for 4 claims"),
        (0.03, 1, "cannot be told", "p 0.030 by itself, but p 0.120 after correction for 4 claims"),
        (0.3, -1, "cannot be told", "p 1.000 after correction for 4 claims"),
        (1.0, 0, "cannot be told", "p 1.000 after correction for 4 claims"),
    ],
)
def test_verdicts(p, direction, verdict, reason):
    """One claim among three others of the family that show nothing, and one that could not be tested."""
    others = [outcome(0.9, 1), outcome(0.9, 1), outcome(0.9, -1), outcome(math.nan, 0, "one seed")]
    lines = judge([outcome(p, direction), *others])
    assert (lines[0]["verdict"], lines[0]["reason"]) == (verdict, reason)
    assert (lines[4]["verdict"], lines[4]["reason"], lines[4]["p_holm"]) == ("cannot be told", "one seed", None)


@pytest.mark.parametrize(
    ("signs", "p", "expected", "direction"),
    [
        ([1, 1, 1], [0.01, 0.04, 0.02], 0.04, 1),  # the largest: all must hold
        ([1, 1, -1], [0.01, 0.04, 0.02], 0.06, -1),  # one is reversed, corrected for three
        ([1, 1, 0], [0.01, 0.04, 1.0], 1.0, 1),
        ([-1, -1, -1], [0.5, 0.6, 0.7], 1.0, 1),
        ([1, 1, 1], [0.01, math.nan, 0.02], math.nan, -1),
    ],
)
def test_every_comparison_must_hold(signs, p, expected, direction):
    found = every(np.array(signs), np.array(p))
    assert (float(found[0]), int(found[1])) == (pytest.approx(expected, nan_ok=True), direction)


def test_only_common_images_and_seeds_are_compared(run_of, cell_of):
    """F-CAM has no IoU on image 3, RISE no seed 2: means are over images 1 and 2 of seeds 0 and 1."""
    run = run_of(
        *(cell_of("fcam", seed, [0.5 + 0.1 * seed, 0.7, np.nan]) for seed in (0, 1, 2)),
        *(cell_of("rise", seed, [0.2, 0.3, 0.9]) for seed in (0, 1)),
    )
    found = compare(run, Claim("fcam", "rise", "main"))
    line = found.line
    assert (line["n_seeds"], line["n_images"]) == (2, 2)
    assert line["higher_mean"] == pytest.approx((0.6 + 0.65) / 2)
    assert line["lower_mean"] == pytest.approx(0.25)
    assert line["difference"] == pytest.approx(0.375)
    assert line["spread"] == pytest.approx(0.05 / np.sqrt(2))  # sd of (0.6, 0.65), and 0
    assert line["paper_difference"] == pytest.approx(0.16)
    values = [np.array([[0.5, 0.7], [0.6, 0.7]]), np.array([[0.2, 0.3]] * 2)]
    expected = difference(*values, np.array([0, 1]))
    assert expected is not None
    assert (found.p, line["ci_low"], line["ci_high"]) == (expected.p, expected.low, expected.high)


def test_one_common_seed_settles_nothing(run_of, cell_of):
    run = run_of(cell_of("fcam", 0, [0.8] * 9), *(cell_of("rise", seed, [0.2] * 9) for seed in (0, 1, 2)))
    line = claims.table(run).frame.set_index("claim").loc["F-CAM better than RISE in mean IoU"]
    assert (line["verdict"], line["reason"]) == ("cannot be told", "1 common seed, 2 are needed for a spread")
    assert line["difference"] == pytest.approx(0.6)
    assert line[["ci_low", "p", "p_holm"]].isna().all()


def test_images_of_one_class_are_not_taken_as_independent(run_of, cell_of):
    """Each class gains or loses as a whole: nine images look like nine gains, but they are three classes."""
    gains = np.array([0.2, 0.3, -0.2])[np.arange(30) % 3]
    rng = np.random.default_rng(3)
    run = run_of(
        *(cell_of(MAIN, seed, (0.5 + gains + 0.01 * rng.random(30)).tolist()) for seed in (0, 1, 2)),
        *(cell_of("center", seed, [0.5] * 30) for seed in (0, 1, 2)),
    )
    found = compare(run, Claim("ala", "center"))
    assert float(str(found.line["ci_low"])) < 0 < float(str(found.line["difference"]))
    assert compare(run, Claim("ala", "center")) == found  # the same numbers every time


def test_table_has_every_claim_and_shows_what_was_not_run(run_of, cell_of):
    run = run_of(*(cell_of(MAIN, seed, [0.8, 0.9]) for seed in (0, 1, 2)))
    table = claims.table(run).frame.set_index("claim")
    assert list(table.index) == [
        *(f"{first} better than {second} in {metric}" for metric in ("mean IoU", "Insertion", "Deletion", "ID")
          for first, second in (("ALA", "F-CAM"), ("F-CAM", "RISE"))),
        "SBN contributes most: without AEA (ii) mean IoU is better than without SBN (i)",
        *(f"(iii) better than {row} in mean IoU" for row in ("(i)", "(ii)", "(iv)")),
        "AEA widens the attended region: (iii) against (ii)",
        *(f"{row} better than centred Gaussian in mean IoU" for row in ("ALA", "F-CAM", "ABN")),
        "Without SBN (i) every metric is worst", "ID = Insertion − Deletion, image by image",
    ]  # fmt: skip
    assert set(table["verdict"]) == {"not run"}


def test_a_clear_claim_holds_and_its_opposite_does_not(run_of, cell_of):
    rng = np.random.default_rng(0)
    run = run_of(
        *(cell_of(MAIN, seed, (0.8 + 0.01 * rng.random(9)).tolist()) for seed in (0, 1, 2)),
        *(cell_of("fcam", seed, (0.5 + 0.01 * rng.random(9)).tolist()) for seed in (0, 1, 2)),
        *(cell_of("rise", seed, (0.6 + 0.01 * rng.random(9)).tolist()) for seed in (0, 1, 2)),
    )
    verdicts = claims.table(run).frame.set_index("claim")["verdict"]
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
    table = claims.table(run).frame.set_index("claim")
    deletion = table.loc["ALA better than F-CAM in Deletion"]
    assert deletion["difference"] == pytest.approx(0.2, abs=0.01)
    assert deletion["paper_difference"] == pytest.approx(0.034 - 0.007)
    assert deletion["verdict"] == "holds"
    assert table.loc["ALA better than F-CAM in Insertion", "verdict"] == "does not hold"


ROWS = {"i": "aea-true-sbn-false", "ii": "aea-false-sbn-true", "iii": MAIN}


def ablation(run_of, cell_of, levels, areas=None):
    """Rows (i) to (iii) with IoU and insertion at `levels`; ID follows insertion, deletion is half of it, too."""
    rng = np.random.default_rng(1)
    cells = [cell_of(ROWS[row], seed, along(rng, level), along(rng, level))
             for row, level in levels.items() for seed in (0, 1, 2)]  # fmt: skip
    run = run_of(*cells)
    for row, level in (areas or {}).items():
        for seed in (0, 1, 2):
            run.scores[Key(ROWS[row], seed, "attended", "area")] = pd.Series(along(rng, level), index=np.arange(1, 10))
    return run


def test_every_metric_worst_needs_all_eight_comparisons(run_of, cell_of):
    run = ablation(run_of, cell_of, {"i": 0.2, "ii": 0.4, "iii": 0.6})
    line = claims.table(run).frame.set_index("claim").loc["Without SBN (i) every metric is worst"]
    assert line["verdict"] == "does not hold"  # its deletion, half of a small insertion, is the best
    assert line["reason"].endswith(
        "of 8 comparisons, all of which must hold, 6 do, each by itself; 2 are reversed: (i) is better than (ii) in"
        " Deletion, (iii) in Deletion"
    )


def test_a_wider_region_is_reported_from_the_areas(run_of, cell_of):
    levels = {"i": 0.2, "ii": 0.4, "iii": 0.6}
    name = "AEA widens the attended region: (iii) against (ii)"
    for areas, verdict in (
        ({"ii": 0.2, "iii": 0.4}, "holds"), ({"ii": 0.4, "iii": 0.2}, "does not hold"), ({"ii": 0.4}, "not run"),
    ):  # fmt: skip
        table = claims.table(ablation(run_of, cell_of, levels, areas)).frame.set_index("claim")
        assert table.loc[name, "verdict"] == verdict


def test_an_id_that_is_not_the_difference_is_found(run_of, cell_of):
    """It is computed as the difference: arithmetic, no claim of the family."""
    name = "ID = Insertion − Deletion, image by image"
    run = ablation(run_of, cell_of, {"i": 0.2})
    line = claims.table(run).frame.set_index("claim").loc[name]
    assert (line["verdict"], line["p"]) == ("arithmetic", None)
    assert line["paper_difference"] == pytest.approx(0.522 - (0.604 - 0.086))  # of RISE's printed row
    run.scores[Key(ROWS["i"], 1, "official-predicted", "id")].loc[3] += 0.01
    line = claims.table(run).frame.set_index("claim").loc[name]
    assert line["verdict"] == "does not hold"
    assert line["difference"] == pytest.approx(0.01)
