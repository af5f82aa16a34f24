"""Rounded tables: the slides beside ours, the best bold, nothing hidden."""

from __future__ import annotations

import math

import pytest

from ala.report import markdown, tables

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
    text = markdown.document("Main table", run, tables.main(run), "method")
    rise, metrics = run.settings.active.rise, run.settings.active.metrics
    for said in (f"N = {rise.n_masks}, s = {rise.grid}, p = {rise.p1:g}", f"{metrics.step} pixels per step",
                 "mean + standard deviation", f"seeds {run.settings.seeds}", f"{metrics.images_per_class} test photos",
                 "`dvc repro evaluate@0 evaluate@1 evaluate@2`", "main.csv"):  # fmt: skip
        assert said in text


def test_values_that_cannot_be_compared_stand_small_and_in_brackets(run):
    table = markdown.results(tables.main(run), "method", "main", False)
    assert "<sub>slides (not comparable)</sub>" in table
    assert "<sub>(0.693 ± 0.002)</sub>" in table
