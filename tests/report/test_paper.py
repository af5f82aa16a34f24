"""Paper against run: judged for the profile `paper` only; the slides' own arithmetic is marked."""

from __future__ import annotations

import numpy as np
import pytest

from ala.report import paper, slides, tables
from tests.report.conftest import changed

MAIN = "aea-true-sbn-true"


@pytest.fixture
def table_of(run_of, cell_of):
    def make(profile, level, seeds=(0, 1, 2)):
        cells = [cell_of(MAIN, seed, [level + 0.001 * seed] * 4, [0.7] * 4) for seed in seeds]
        run = changed(run_of(*cells), profile=profile)
        frame = paper.table(run, tables.main(run).frame, tables.ablation(run).frame).frame
        return frame.set_index(["table", "row", "metric"])

    return make


def test_only_the_paper_profile_is_judged(table_of):
    printed = slides.printed("main")["ala"]["miou"].mean
    key = ("main", "ala", "miou")
    assert table_of("mini", printed).loc[key, "verdict"] == "not comparable"
    assert table_of("photos", printed).loc[key, "verdict"] == "not comparable"
    assert table_of("paper", printed).loc[key, "verdict"] == "within"
    assert table_of("paper", printed - 0.1).loc[key, "verdict"] == "outside"
    assert table_of("paper", printed, (0,)).loc[key, "verdict"] == "one seed has no spread"
    assert table_of("paper", printed).loc[("main", "fcam", "miou"), "verdict"] == "not run"


def test_numbers_are_the_printed_one_and_ours(table_of):
    line = table_of("mini", 0.5).loc[("main", "ala", "miou")]
    assert (line["printed"], line["printed_spread"]) == (0.693, 0.002)
    assert line["ours"] == pytest.approx(0.501)
    assert line["ours_std"] == pytest.approx(0.001)
    assert line["difference"] == pytest.approx(0.501 - 0.693)
    assert line["combined_spread"] == pytest.approx(np.hypot(0.002, 0.001))


def test_what_the_slides_contradict_is_marked(table_of):
    marks = table_of("mini", 0.5)["mark"]
    assert marks["main", "rise", "id"] == "printed ID is 0.004 above Insertion − Deletion"
    assert marks["main", "ala", "miou"] == "the same model has ± 0.007 in the ablation (iii)"
    assert marks["ablation", "iii", "id"] == "the same model has ± 0.004 in the main table, Ours"
    assert marks["ablation", "ii", "id"] == ""  # 0.001 is rounding
    assert (marks != "").sum() == 9
