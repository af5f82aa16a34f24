"""One frame, three renderings: what a cell shows, which columns there are, what is bold, where a row comes from."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from ala.report import captions, tables
from ala.report.html.tables import MOST_ROWS, shown
from ala.report.render import markdown
from ala.report.table import Table, cells, columns, label
from ala.report.text import number_text, spread_text, text_of
from tests.report.conftest import changed

MAIN = "aea-true-sbn-true"
NAN = math.nan


def made(name="new", best=None, rivals=(), lead=(), csv_only=(), **columns):
    frame = pd.DataFrame(columns, dtype=object)
    return Table(name, frame, "Heading", lead=lead, best=best or {}, rivals=frozenset(rivals), csv_only=csv_only)


def text(table, run):
    return [[cell.text for cell in line] for line in cells(table, columns(table, True), run.rows)]


def bold(table, run):
    lines = cells(table, columns(table, True), run.rows)
    return [(line[0].text, place) for line in lines for place, cell in enumerate(line) if cell.best]


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("x", 0.41033026, "0.410"), ("p", 1.23e-12, "1.2e-12"), ("p_holm", 0.04, "0.040"), ("n_images", 290, "290"),
        ("n_perturbed", 30.0, "30"), ("n_empty", 9.33, "9.3"), ("rho", 1.5, "1.5"), ("x", 0.0, "0.000"),
        ("x", None, "–"), ("x", NAN, "–"), ("x", "not run", "not run"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(name, value, shown):
    assert number_text(name, value) == shown


def test_spreads():
    assert text_of(0.12345, 2) == "0.12"
    assert spread_text(0.5, NAN) == "0.500"
    assert spread_text("not run", "not run") == "not run"
    assert spread_text(NAN, NAN) == "–"


def test_spreads_join_their_means_and_the_full_value_stays(run_of):
    table = made(method=["ala", "rise"], miou_mean=[0.41234, None], miou_std=[0.01, None], ci_low=[-0.12345, None],
                 ci_high=[0.5, None])  # fmt: skip
    assert [column.label for column in columns(table, True)] == ["method", "mean IoU ↑", "95 % interval"]
    first, second = cells(table, columns(table, True), run_of().rows)
    assert [cell.text for cell in first] == ["ALA", "0.412 ± 0.010", "[-0.123, 0.500]"]
    assert first[1].title == "miou_mean 0.41234; miou_std 0.01"
    assert first[1].order == "0.41234"
    assert [cell.text for cell in second] == ["RISE", "–", "–"]
    assert float(second[1].order) < -1e300  # what is absent sorts below all numbers


def test_an_interval_beside_its_value_says_so():
    table = made(fix=["edge"], miou_gain=[0.1], miou_gain_low=[0.05], miou_gain_high=[0.15])
    assert [column.label for column in columns(table, True)] == ["fix", "mean IoU gain", "mean IoU gain, interval"]


@pytest.mark.parametrize(
    ("name", "heading"),
    [("n_seeds", "seeds"), ("paper_miou", "slides: mean IoU"), ("miou_x_y", "mean IoU x y"), ("a_b", "a b"),
     ("paper_OA", "slides: OA")],
)  # fmt: skip
def test_columns_are_headed_by_the_longest_known_name(name, heading):
    assert label(name) == heading


def in_turn(table):
    return [column.sources[0] for column in sorted(columns(table, True), key=lambda column: column.turn)]


def test_a_table_says_which_columns_stay_longest():
    names = ("method", "n_seeds", "accuracy_mean", "miou_common_mean", "miou_mean", "id_mean", "paper_id", "command")
    values = ("ala", 3, 0.9, 0.4, 0.5, 0.6, 0.7, "x")
    table = made(lead=("miou", "id", "accuracy"), **{name: [value] for name, value in zip(names, values, strict=True)})
    assert in_turn(table) == [
        "method", "miou_common_mean", "id_mean", "accuracy_mean", "miou_mean", "paper_id", "n_seeds"
    ]  # fmt: skip
    assert [column.sources[0] for column in columns(table, True)][:2] == ["method", "n_seeds"]  # their order stays
    assert in_turn(made(n_a=[1], n_b=[2], x=[3], y=[4])) == ["n_a", "x", "y", "n_b"]


def test_every_column_that_leads_or_stands_in_the_text_is_there(built):
    for table in built.content.tables.values():
        names = {column.sources[0] for column in columns(table, False)}
        for own in (*table.lead, *table.text):
            assert names & {own, f"{own}_common_mean", f"{own}_mean"} or own in ("miou_mean", "n_common"), (
                table.name,
                own,
            )


def test_best_is_bold_among_rivals_only_and_shared_by_ties(run_of):
    table = made(
        best={"miou_mean": True, "deletion_mean": False}, rivals=("ala", "fcam", "rise"),
        method=["ala", "fcam", "rise", "box"], miou_mean=[0.50001, 0.49999, 0.3, 0.9],
        deletion_mean=[0.2, 0.1, "not run", 0.01],
    )  # fmt: skip
    assert bold(table, run_of()) == [("ALA", 1), ("F-CAM", 1), ("F-CAM", 2)]


def test_bold_is_compared_on_the_images_that_all_rows_share(run_of):
    """ALA's mean over all of its images is above RISE's, that on RISE's images below it."""
    table = made(
        best={"miou_mean": True, "miou_fixed_mean": True, "id_mean": True}, csv_only=("miou_fixed_mean",),
        method=["ala", "rise"], n_images=[290, 30], n_common=[30, 30], miou_common_mean=[0.384, 0.389],
        miou_mean=[0.402, 0.389], miou_fixed_common_mean=[0.1, 0.2], miou_fixed_mean=[0.2, 0.2],
        id_common_mean=[0.5, 0.6], id_mean=[0.5, 0.6],
    )  # fmt: skip
    assert [column.label for column in columns(table, True)] == [
        "method", "images", "common images", "mean IoU ↑, common images", "mean IoU ↑, all images",
        "IoU, fixed 0.5 ↑, common images", "ID ↑",
    ]  # fmt: skip
    assert bold(table, run_of()) == [("RISE", 3), ("RISE", 5), ("RISE", 6)]


def test_verdicts_have_a_kind(run_of):
    verdicts = ["holds", "does not hold", "cannot be told", "not run", "odd"]
    table = made(claim=list("abcde"), verdict=verdicts)
    kinds = [line[1].kind for line in cells(table, columns(table, True), run_of().rows)]
    assert kinds == ["good", "bad", "open", "none", "none"]


def test_values_of_the_slides_are_marked_unless_they_may_be_compared(built):
    table = built.content.tables["main"]
    foreign = {column.sources[0]: column for column in columns(table, built.run.comparable) if column.foreign}
    assert set(foreign) == {"paper_miou", "paper_insertion", "paper_deletion", "paper_id"}
    assert all(column.label.endswith(", not comparable") for column in foreign.values())
    assert '<td class="n foreign"' in built.render()
    assert "| (0.693 ± 0.002) |" in markdown(table, built.run.rows, False)
    paper = changed(built.run, profile="paper")
    assert not any(column.foreign for column in columns(table, paper.comparable))
    assert "| 0.693 ± 0.002 |" in markdown(table, built.run.rows, True)


# ------------------------------------------------------------------------------------------------- Markdown


def cells_of(page: str, name: str) -> list[str]:
    line = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def run(run_of, cell_of):
    return run_of(
        *(cell_of(MAIN, seed, [0.5 + 0.1 * seed], [0.6]) for seed in (0, 1, 2)),
        *(cell_of("fcam", seed, [0.60004], [0.9]) for seed in (0, 1, 2)),
        *(cell_of("box", seed, [0.9], [0.95]) for seed in (0, 1, 2)),
    )


def test_values_are_beside_the_slides(run):
    page = markdown(tables.main(run), run.rows, True)
    row = dict(zip(cells_of(page, "method"), cells_of(page, "ALA"), strict=True))
    assert row["accuracy"] == "1.000 ± 0.000"
    assert row["mean IoU ↑"] == "**0.600 ± 0.100**"
    assert row["slides: mean IoU"] == "0.693 ± 0.002"
    assert cells_of(page, "RISE")[1:3] == ["0", "not run"]
    assert cells_of(page, "F-CAM")[4].startswith("**0.600")  # 0.60004 rounds to what ALA has
    assert "**0.95" not in page  # an oracle is never the best
    assert "all images" not in page  # all rows have the same


@pytest.fixture
def uneven(run_of, cell_of):
    """RISE has a map of one image, on which ALA is worse than on its other one."""
    return run_of(
        *(cell_of(MAIN, seed, [0.3, 0.9], [0.6, NAN]) for seed in (0, 1)),
        *(cell_of("rise", seed, [0.4, NAN], [0.7, NAN]) for seed in (0, 1)),
    )


@pytest.mark.parametrize("text", [None, tables.BRIEF])
def test_bold_is_the_best_on_the_same_images_and_all_images_are_beside(uneven, text):
    page = markdown(tables.main(uneven), uneven.rows, True, text)
    head, ala, rise = (cells_of(page, name) for name in ("method", "ALA", "RISE"))
    own, other = head.index("mean IoU ↑, common images"), head.index("mean IoU ↑, all images")
    assert (ala[own], rise[own]) == ("0.300 ± 0.000", "**0.400 ± 0.000**")
    assert (ala[other], rise[other]) == ("0.600 ± 0.000", "0.400 ± 0.000")
    assert not any("Insertion" in title and "all images" in title for title in head)  # measured on the same image
    thresholds = markdown(tables.main(uneven), uneven.rows, True, tables.THRESHOLDS)
    assert cells_of(thresholds, "ALA")[2:] == ["0.300"] * 3
    assert cells_of(thresholds, "RISE")[2:] == ["**0.400**"] * 3


def test_captions_name_the_images_of_each_column(run, uneven):
    assert captions.same_images(tables.main(run).frame) == (
        "Mean IoU: every row on the same 1 images. Insertion, Deletion and ID: every row on the same 1 images."
    )
    said = captions.same_images(tables.main(uneven).frame)
    assert said.startswith("Mean IoU: compared on the 1 images that all rows share;")
    assert "(up to 2)" in said


def test_a_page_of_a_table_carries_protocol_and_commands(built):
    page = (built.out / "tables/main.md").read_text()
    metrics, rise = built.run.settings.active.metrics, built.run.settings.active.rise
    for said in (f"RISE: n_masks {rise.n_masks}, grid {rise.grid}", f"{metrics.step} pixels per step",
                 "mean + standard deviation", f"seeds {built.run.settings.seeds}", "2 test images per class",
                 "| RISE | `dvc repro score@rise-0 score@rise-1 score@rise-2` |", "(main.csv)"):  # fmt: skip
        assert said in page


# ------------------------------------------------------------------------------------------------- the page


def test_long_tables_are_cut_and_say_so(run):
    table = shown(run, made(a=[1.0] * (MOST_ROWS + 3)))
    assert (len(table.lines), table.left_out) == (MOST_ROWS, 3)
    assert shown(run, made(a=[])).lines == []


def test_a_row_leads_to_command_and_scores(run):
    ours = [f"scores/ala+i+ii+iii+iv/seed-{seed}/{MAIN}/scores.csv" for seed in (0, 1, 2)]
    box = [f"scores/full+center+noise+box/seed-{seed}/box/scores.csv" for seed in (0, 1, 2)]

    def traced(**line):
        return shown(run, made(**{name: [value] for name, value in line.items()})).lines[0][1]

    found = traced(method="ala", command="dvc repro x")
    assert (found.link, found.line, found.command) == ("tables/new.csv#row=2", 2, "dvc repro x")
    assert found.scores == ours
    assert traced(higher="ala", lower="box").scores == [*ours, *box]
    assert traced(method=MAIN, seed=2).scores == ours[2:]
    assert traced(method="ala", scores="scores/a.csv scores/b.csv").scores == ["scores/a.csv", "scores/b.csv"]
    assert traced(method="zero_shot").scores == ["models/encoder/metrics.json"]
    assert (traced(rule="otsu").command, traced(rule="otsu").scores) == ("", [])


def test_every_traced_file_is_there(built):
    for table in built.content.tables.values():
        for _, origin in shown(built.run, table).lines:
            assert origin.command
            assert origin.scores
            assert [path for path in origin.scores if not (built.folder / path).is_file()] == []
