"""Rounded tables: the slides beside ours, the best bold, nothing hidden."""

from __future__ import annotations

import math

import pytest

from ala.report import captions, markdown, tables
from ala.report.page import document

MAIN = "aea-true-sbn-true"


def cells_of(text: str, label: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {label} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def run(run_of, cell_of):
    return run_of(
        *(cell_of(MAIN, seed, [0.5 + 0.1 * seed], [0.6]) for seed in (0, 1, 2)),
        *(cell_of("fcam", seed, [0.60004], [0.9]) for seed in (0, 1, 2)),
        *(cell_of("box", seed, [0.9], [0.95]) for seed in (0, 1, 2)),
    )


def test_values_stand_beside_the_slides(run):
    table = markdown.results(tables.main(run), "method", "main", True)
    assert cells_of(table, "ALA")[:6] == ["ALA", "3", "1", "1.000 ± 0.000", "**0.600 ± 0.100**", "0.693 ± 0.002"]
    assert cells_of(table, "box (oracle)")[4:6] == ["0.900 ± 0.000", "not reported"]
    assert cells_of(table, "RISE")[1:6] == ["0", "not run", "not run", "not run", "0.390 ± 0.014"]


def test_best_explainer_is_bold_ties_too_oracle_never(run):
    table = markdown.results(tables.main(run), "method", "main", True)
    assert cells_of(table, "F-CAM")[4].startswith("**0.600")  # 0.60004 rounds to what ALA has
    assert cells_of(table, "F-CAM")[6].startswith("**0.900")
    assert cells_of(table, "ALA")[8].startswith("**0.300")  # deletion: the lower, the better
    assert "**0.95" not in table


@pytest.fixture
def uneven(run_of, cell_of):
    """RISE has a map of one image, on which ALA is worse than on its other one."""
    return run_of(
        *(cell_of(MAIN, seed, [0.3, 0.9], [0.6, math.nan]) for seed in (0, 1)),
        *(cell_of("rise", seed, [0.4, math.nan], [0.7, math.nan]) for seed in (0, 1)),
    )


@pytest.mark.parametrize("brief", [False, True])
def test_bold_is_the_best_on_the_same_images_and_other_images_say_how_many(uneven, brief):
    table = markdown.results(tables.main(uneven), "method", "main", True, brief=brief)
    head, ala, rise = (cells_of(table, label) for label in ("method", "ALA", "RISE"))
    own, all_images = head.index("mean IoU ↑"), head.index("mean IoU, all images (number)")
    assert (ala[own], rise[own]) == ("0.300 ± 0.000", "**0.400 ± 0.000**")
    assert (ala[all_images], rise[all_images]) == ("0.600 ± 0.000 (2)", "0.400 ± 0.000 (1)")
    assert not any("Insertion, all" in title for title in head)  # measured on the same image
    if not brief:
        assert (ala[head.index("images")], rise[head.index("images")]) == ("1 (2)", "1")


def test_threshold_rules_are_compared_on_the_same_images(uneven):
    table = markdown.threshold_rules(tables.main(uneven), "method")
    assert cells_of(table, "ALA")[1:] == ["0.300"] * 4
    assert cells_of(table, "RISE")[1:] == ["**0.400**"] * 4


def test_one_column_where_all_rows_have_the_same_images(run):
    assert "all images" not in markdown.results(tables.main(run), "method", "main", True)


def test_captions_name_the_images_of_each_column(run, uneven):
    assert captions.same_images(tables.main(run)) == (
        "Mean IoU: every row on the same 1 images. Insertion, Deletion and ID: every row on the same 1 images."
    )
    said = captions.same_images(tables.main(uneven))
    assert said.startswith("Mean IoU: compared on the 1 images that all rows share;")
    assert "(up to 2)" in said


def test_brief_leaves_out_counts_and_accuracy(run):
    table = markdown.results(tables.main(run), "method", "main", True, brief=True)
    assert cells_of(table, "ALA")[:3] == ["ALA", "**0.600 ± 0.100**", "0.693 ± 0.002"]


def test_ablation_shows_switches(run):
    table = markdown.results(tables.ablation(run), "row", "ablation", True)
    assert cells_of(table, "(iii)")[1:3] == ["✓", "✓"]
    assert cells_of(table, "(i)")[1:6] == ["✓", "–", "0", "not run", "not run"]
    assert cells_of(table, "(iv)")[-1] == "not reported"


def test_numbers():
    assert markdown.number(0.12345) == "0.123"
    assert markdown.number(math.nan) == "–"
    assert markdown.number(None) == "–"
    assert markdown.number("not run") == "not run"
    assert markdown.spread(0.5, math.nan) == "0.500"
    assert markdown.spread("not run", "not run") == "not run"
    assert markdown.spread(math.nan, math.nan) == "–"


def test_document_carries_protocol_and_commands(run):
    text = document("Main table", run, tables.main(run), "method")
    rise, metrics = run.settings.active.rise, run.settings.active.metrics
    for said in (f"N = {rise.n_masks}, s = {rise.grid}, p = {rise.p1:g}", f"{metrics.step} pixels per step",
                 "mean + standard deviation", f"seeds {run.settings.seeds}", f"{metrics.images_per_class} test photos",
                 "`dvc repro evaluate@0 evaluate@1 evaluate@2`", "main.csv"):  # fmt: skip
        assert said in text


def test_values_that_cannot_be_compared_stand_small_and_in_brackets(run):
    table = markdown.results(tables.main(run), "method", "main", False)
    assert "<sub>slides (not comparable)</sub>" in table
    assert "<sub>(0.693 ± 0.002)</sub>" in table
