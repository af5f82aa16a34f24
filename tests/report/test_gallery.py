"""Which images are shown: best, median, worst, and one with a reflection."""

from __future__ import annotations

import pytest

from ala.report.gallery import Case, cases, gallery_seed, reflections
from ala.utils.errors import UserError

MAIN = "aea-true-sbn-true"
NAN = float("nan")


@pytest.fixture
def run(run_of, cell_of):
    return run_of(
        cell_of(MAIN, 0, [0.1] * 6),
        cell_of(MAIN, 1, [0.9, 0.2, 0.5, 0.4, 0.7, 0.6]),
        cell_of("fcam", 1, [0.5] * 6),
        cell_of("rise", 1, [NAN, 0.5, 0.5, 0.5, 0.5, 0.5]),
        cell_of("abn", 1, [0.5] * 6),
    )


def test_seed_is_the_first_with_all_methods(run, run_of, cell_of):
    assert gallery_seed(run) == 1
    assert gallery_seed(run_of(cell_of(MAIN, 2, [0.1]))) == 2
    assert gallery_seed(run_of()) is None


def test_cases_come_from_images_that_all_explain(run):
    """Image 1 is ALA's best, but RISE has no map of it. Ranking: 5 (.7), 6 (.6), 3 (.5), 4 (.4), 2 (.2)."""
    assert cases(run, 1, set()) == [Case("best", 5), Case("median", 3), Case("worst", 2)]


def test_reflection_is_the_median_one_that_is_not_shown_yet(run):
    assert cases(run, 1, {1, 3, 4, 6})[3:] == [Case("reflection", 4)]  # 6 and 4 are left
    assert cases(run, 1, {2})[3:] == []


def test_without_the_others_ala_is_shown_alone(run_of, cell_of):
    run = run_of(cell_of(MAIN, 0, [0.3, 0.2, 0.1]))
    assert [case.image_id for case in cases(run, 0, set())] == [1, 2, 3]


def test_reflections_file(tmp_path):
    path = tmp_path / "reflections.txt"
    assert reflections(path) == set()
    path.write_text("1 0\n2 1\n30 1\n")
    assert reflections(path) == {2, 30}
    path.write_text("1 0\n2 yes\n")
    with pytest.raises(UserError, match=r"reflections\.txt line 2 is '2 yes'"):
        reflections(path)
