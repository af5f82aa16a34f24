"""Pairs of rows: what is compared, the family of the correction, and who counts as separated."""

from __future__ import annotations

import numpy as np
import pytest

from ala.report import paired
from ala.report.statistics import holm

MAIN = "aea-true-sbn-true"


@pytest.fixture
def frame(run_of, cell_of):
    rng = np.random.default_rng(0)
    levels = {MAIN: (0.8,) * 3, "fcam": (0.46, 0.5, 0.54), "rise": (0.54, 0.51, 0.46), "center": (0.3,) * 3}
    cells = [cell_of(method, seed, (level + 0.05 * rng.random(30)).tolist(), (0.3 + 0.01 * rng.random(30)).tolist())
             for method, seeds in levels.items() for seed, level in enumerate(seeds)]  # fmt: skip
    return paired.table(run_of(*cells))


def test_only_pairs_with_scores_are_listed_each_once(frame):
    keys = [tuple(key) for key in frame[["metric", "first", "second"]].to_numpy()]
    assert len(keys) == len(set(keys))
    assert {key[1:] for key in keys} == {
        ("ala", "fcam"), ("ala", "rise"), ("fcam", "rise"), ("ala", "center"), ("fcam", "center"), ("rise", "center"),
    }  # fmt: skip


def test_the_correction_is_over_all_pairs_of_a_metric(frame):
    for _, part in frame.groupby("metric"):
        assert part["p_holm"].to_numpy() == pytest.approx(holm(part["p"].tolist()))


def test_separated_rows_need_no_more_seeds_and_others_do(frame):
    miou = frame[frame["metric"] == "miou"].set_index(["first", "second"])
    assert miou.loc[("ala", "fcam"), "separated"] == "yes"
    assert np.isnan(miou["seeds_needed"].astype(float)[("ala", "fcam")])
    assert miou.loc[("fcam", "rise"), "separated"] == "no"
    assert miou.loc[("fcam", "rise"), "seeds_needed"] >= 2
    assert miou.loc[("ala", "fcam"), "difference"] == pytest.approx(0.3, abs=0.02)


def test_the_page_names_every_pair(frame):
    text = paired.markdown(frame)
    assert text.count("| F-CAM | RISE |") == 4
    assert "< 0.001" in text


def test_one_seed_separates_nothing(run_of, cell_of):
    frame = paired.table(run_of(cell_of(MAIN, 0, [0.8, 0.9] * 10), cell_of("fcam", 0, [0.1, 0.2] * 10)))
    assert set(frame["separated"]) == {"no"}
