"""The ends of the curves: by evaluated model, beside chance, and marked where a substrate leaves the class readable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ala.report import captions, ends, figures
from ala.report.render import markdown
from ala.report.run import Run
from tests.report.fake_run import MINE

MAIN = "aea-true-sbn-true"


@pytest.fixture
def run_with(run_of, cell_of):
    """A run whose curves start and end where it is set, by method: insertion start, whole image, deletion end."""

    def make(classes: int | None = 10, **curves: tuple[float, float, float]) -> Run:
        cells, kept = [], {}
        for method, (blurred, whole, empty) in curves.items():
            for seed, shift in ((0, -0.01), (1, 0.01)):
                name = method.replace("_", "-")
                cells.append(cell_of(name, seed, [0.5, 0.5], [0.6, 0.6]))
                kept[name, seed] = {"insertion": np.array([blurred + shift, 0.5, whole]),
                                    "deletion": np.array([whole, 0.3, empty])}  # fmt: skip
        return replace(run_of(*cells), curves=kept, data={} if classes is None else {"classes": classes})

    return make


def test_ends_are_means_of_the_kept_curves_by_evaluated_model(built, fake):
    run = built.run
    table = ends.frame(run).set_index("model")
    assert list(table.index) == [MAIN, "fcam", "abn", "aea-true-sbn-false", "aea-false-sbn-true", "aea-false-sbn-false"]
    assert table.loc[MAIN, "rows"].split() == ["ala", "rise", MINE, "full", "center", "noise", "box", "iii"]
    means = []
    for seed in (0, 1, 2):
        with np.load(fake.folder / f"scores/fcam/seed-{seed}/fcam/curves.npz") as archive:
            means.append(archive["deletion"][:, 0].mean(dtype=np.float64))
    assert table.loc["fcam", "deletion_start_mean"] == pytest.approx(np.mean(means))
    assert table.loc["fcam", "deletion_start_std"] == pytest.approx(np.std(means, ddof=1))
    assert (table.loc["fcam", "n_seeds"], table.loc["fcam", "n_images"]) == (3, 6)
    assert table.loc["fcam", "chance"] == pytest.approx(1 / 3)
    assert table.loc["fcam", "scores"].split()[2] == "scores/fcam/seed-2/fcam/curves.npz"
    assert "| F-CAM | F-CAM | 3 | 6 |" in markdown(ends.table(run), run.rows, False)


def test_a_blurred_image_that_still_shows_the_class_is_said_so(run_with):
    run = run_with(aea_true_sbn_true=(0.69, 0.77, 0.1), fcam=(0.12, 0.75, 0.1))
    table = ends.frame(run).set_index("model")
    assert table["far_above_chance"].to_dict() == {MAIN: "insertion_start", "fcam": ""}
    said = ends.sentence(run)
    assert "insertion runs from 0.120–0.690 (fully blurred image) to 0.750–0.770 (whole image)" in said
    assert "deletion from 0.750–0.770 to 0.100 (every pixel replaced); chance is 1/K = 0.100." in said
    assert "**Insertion starts far above chance" in said
    assert "Deletion ends far above" not in said


@pytest.mark.parametrize(("blurred", "far"), [(0.179, False), (0.181, True)])  # 0.1 + 0.1 * (0.9 - 0.1) = 0.18
def test_far_above_chance_is_a_tenth_of_what_the_whole_image_gains(run_with, blurred, far):
    run = run_with(aea_true_sbn_true=(blurred, 0.9, 0.1))
    assert ("far above chance" in ends.sentence(run)) == far


def test_an_empty_image_that_is_taken_for_the_class_is_said_so(run_with):
    assert "**Deletion ends far above chance" in ends.sentence(run_with(aea_true_sbn_true=(0.1, 0.9, 0.3)))


def test_only_the_models_behind_the_rows_shown(run_with):
    run = run_with(aea_true_sbn_true=(0.2, 0.8, 0.1), aea_false_sbn_true=(0.3, 0.9, 0.1))
    assert "from 0.200 (fully" in ends.sentence(run, [run.rows["ala"], run.rows["rise"]])
    assert "on 2 evaluated models: insertion runs from 0.200–0.300" in ends.sentence(run)


def test_without_curves_or_classes_nothing_is_made_up(run_with, run_of, cell_of):
    assert ends.sentence(run_of(cell_of(MAIN, 0, [0.5], [0.6]))) == ""
    assert markdown(ends.table(run_of()), run_of().rows, False) == "not run"
    said = ends.sentence(run_with(classes=None, aea_true_sbn_true=(0.8, 0.9, 0.1)))
    assert "chance" not in said


def test_every_table_of_curves_states_them(built):
    said = ends.sentence(built.run)
    assert "chance is 1/K = 0.333" in said
    for path in sorted((built.out / "tables").glob("*.md")):
        text = path.read_text()
        assert "chance is 1/K = 0.333" in text, path.name
    report = (built.out / "report.md").read_text()
    assert captions.curves(built.run, figures.CURVES) in report
    for title in ("## Main table", "## Ablation", "### The edge fix", "## Insertion and deletion"):
        part = report.partition(f"\n{title}\n")[2].partition("\n## ")[0]
        assert "chance is 1/K = 0.333" in part, title
    page = built.render()
    assert page.count("chance is 1/K = 0.333") >= 3  # protocol, curves, figure
    assert "Mean over 6 images" in page
