"""Pairs of rows: what is compared, the family of the correction, and who counts as separated."""

from __future__ import annotations

import numpy as np
import pytest

from ala.report import claims, paired
from ala.report.render import markdown
from ala.report.slides import Claim
from ala.report.statistics import holm

MAIN = "aea-true-sbn-true"


@pytest.fixture
def run(run_of, cell_of):
    rng = np.random.default_rng(0)
    levels = {MAIN: (0.8,) * 3, "fcam": (0.46, 0.5, 0.54), "rise": (0.54, 0.51, 0.46), "center": (0.3,) * 3}
    cells = [cell_of(method, seed, (level + 0.05 * rng.random(30)).tolist(), (0.3 + 0.01 * rng.random(30)).tolist())
             for method, seeds in levels.items() for seed, level in enumerate(seeds)]  # fmt: skip
    return run_of(*cells)


@pytest.fixture
def frame(run):
    return paired.table(run).frame


def test_only_pairs_with_scores_are_listed_each_once(frame):
    keys = [tuple(key) for key in frame[["metric", "first", "second"]].to_numpy()]
    assert len(keys) == len(set(keys))
    assert {key[1:] for key in keys} == {
        ("ala", "fcam"), ("ala", "rise"), ("fcam", "rise"), ("ala", "center"), ("fcam", "center"), ("rise", "center"),
    }  # fmt: skip


def test_the_correction_is_over_all_pairs_of_a_metric(frame):
    for _, part in frame.groupby("metric"):
        assert part["p_holm"].to_numpy() == pytest.approx(holm(part["p"].tolist()))


def test_separated_rows_are_those_whose_corrected_p_is_small(frame):
    assert ((frame["p_holm"] < 0.05) == (frame["separated"] == "yes")).all()
    miou = frame[frame["metric"] == "miou"].set_index(["first", "second"])
    assert miou.loc[("ala", "fcam"), "separated"] == "yes"
    assert miou.loc[("fcam", "rise"), "separated"] == "no"
    assert miou.loc[("ala", "fcam"), "difference"] == pytest.approx(0.3, abs=0.02)
    assert (frame["ci_low"] < frame["difference"]).all()


def test_it_is_the_rule_of_the_claims(run_of, cell_of):
    """The same p and interval as the claim about the same two rows has."""
    rng = np.random.default_rng(1)
    run = run_of(*(cell_of(method, seed, rng.random(12).tolist()) for method in (MAIN, "fcam") for seed in (0, 1, 2)))
    line = paired.table(run).frame.set_index(["metric", "first", "second"]).loc[("miou", "ala", "fcam")]
    claim = claims.compare(run, Claim("ala", "fcam", "main"))
    assert (line["p"], line["ci_low"], line["ci_high"]) == (claim.p, claim.line["ci_low"], claim.line["ci_high"])


def test_how_many_seeds_halve_the_interval(frame):
    """F-CAM's and RISE's seeds lie far apart, so more of them help."""
    miou = frame[frame["metric"] == "miou"].set_index(["first", "second"])
    assert 3 < int(miou.loc[("fcam", "rise"), "seeds_to_halve"]) < 20


def test_the_page_names_every_pair(run):
    text = markdown(paired.table(run), run.rows, False)
    assert text.count("| F-CAM | RISE |") == 4


def test_one_seed_separates_nothing(run_of, cell_of):
    run = run_of(cell_of(MAIN, 0, [0.8, 0.9] * 10), cell_of("fcam", 0, [0.1, 0.2] * 10))
    frame = paired.table(run).frame
    assert set(frame["separated"]) == {"no"}
    assert frame[["p", "p_holm", "ci_low", "seeds_to_halve"]].isna().all(axis=None)
    assert "nan" not in markdown(paired.table(run), run.rows, False)
