"""Tables of the page: what a cell shows, where a row comes from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ala.report.html import catalogue, facts, summary, tables
from ala.report.html.trace import trace
from ala.utils.errors import UserError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.41033026", "0.410"),
        ("-0.0004999", "-0.0005"),
        ("1.23e-12", "1.2e-12"),
        ("290", "290"),
        ("0", "0"),
        ("0.0", "0.000"),
        ("", "–"),
        ("not run", "not run"),
        ("nan", "nan"),
    ],
)
def test_numbers_have_three_digits(text, shown):
    assert tables.rounded(text) == shown


def write(folder, name, text):
    path = folder / f"{name}.csv"
    path.write_text(text)
    return path


def test_spreads_join_their_means_and_the_full_value_stays(run_of, tmp_path):
    path = write(tmp_path, "new", "method,miou_mean,miou_std,ci_low,ci_high\nala,0.41234,0.01,-0.12345,0.5\nrise,,,,\n")
    table = tables.table(run_of(), path)
    assert [column.label for column in table.columns] == ["method", "mean IoU ↑", "95 % interval"]
    first, second = (cells for cells, _ in table.lines)
    assert [cell.text for cell in first] == ["ALA", "0.412 ± 0.010", "[-0.123, 0.500]"]
    assert first[1].title == "miou_mean 0.41234; miou_std 0.01"
    assert first[1].order == "0.41234"
    assert [cell.text for cell in second] == ["RISE", "–", "–"]
    assert float(second[1].order) < -1e300  # what is absent sorts below all numbers


def test_an_interval_beside_its_value_says_so(run_of, tmp_path):
    path = write(tmp_path, "edge", "fix,miou_gain,miou_gain_low,miou_gain_high\nedge,0.1,0.05,0.15\n")
    labels = [column.label for column in tables.table(run_of(), path).columns]
    assert labels == ["fix", "mean IoU gain", "mean IoU gain, interval"]


@pytest.mark.parametrize(
    ("name", "label"),
    [("n_seeds", "seeds"), ("paper_miou", "slides: mean IoU"), ("miou_x_y", "mean IoU x y"), ("a_b", "a b")],
)
def test_columns_are_headed_by_the_longest_known_name(name, label):
    assert catalogue.column_label(name) == label


def in_turn(table):
    return [column.sources[0] for column in sorted(table.columns, key=lambda column: column.turn)]


def test_a_known_table_says_which_columns_stay_longest(run_of, tmp_path):
    head = "method,n_seeds,accuracy_mean,miou_common_mean,miou_mean,id_mean,paper_id,command"
    table = tables.table(run_of(), write(tmp_path, "main", f"{head}\nala,3,0.9,0.4,0.5,0.6,0.7,x\n"))
    assert in_turn(table) == [
        "method", "miou_common_mean", "id_mean", "accuracy_mean", "miou_mean", "n_seeds", "paper_id"
    ]  # fmt: skip
    assert [column.sources[0] for column in table.columns][:2] == ["method", "n_seeds"]  # their order stays


def test_of_any_other_table_numbers_of_things_go_first(run_of, tmp_path):
    table = tables.table(run_of(), write(tmp_path, "new", "n_a,n_b,x,y\n1,2,3,4\n"))
    assert in_turn(table) == ["n_a", "x", "y", "n_b"]


#: The list of errors beside the made-up run is a short one of its own.
LEADING = sorted(name for name, known in catalogue.TABLES.items() if known.lead and name != "error_top")


@pytest.mark.parametrize("name", LEADING)
def test_every_column_that_leads_is_there(built, name):
    turns = in_turn(tables.table(built.run, built.out / f"tables/{name}.csv"))
    lead = catalogue.TABLES[name].lead
    for own, turn in zip(lead, turns[1 : len(lead) + 1], strict=True):
        assert turn in (own, f"{own}_common_mean", f"{own}_mean")


def test_best_is_bold_among_rivals_only_and_shared_by_ties(run_of, tmp_path):
    head = "method,miou_mean,deletion_mean\n"
    path = write(tmp_path, "main", head + "ala,0.50001,0.2\nfcam,0.49999,0.1\nrise,0.3,not run\nbox,0.9,0.01\n")
    table = tables.table(run_of(), path)
    bold = [(cells[0].text, k) for cells, _ in table.lines for k, cell in enumerate(cells) if cell.best]
    assert bold == [("ALA", 1), ("F-CAM", 1), ("F-CAM", 2)]


def test_bold_is_compared_on_the_images_that_all_rows_share(run_of, tmp_path):
    """ALA's mean over all of its images is above RISE's, that on RISE's images below it."""
    head = "method,n_images,n_common,miou_common_mean,miou_mean,miou_fixed_common_mean,miou_fixed_mean,id_common_mean,"
    lines = "ala,290,30,0.384,0.402,0.1,0.2,0.5,0.5\nrise,30,30,0.389,0.389,0.2,0.2,0.6,0.6\n"
    path = write(tmp_path, "main", f"{head}id_mean\n{lines}")
    table = tables.table(run_of(), path)
    assert [column.label for column in table.columns] == [
        "method", "images", "common images", "mean IoU ↑, common images", "mean IoU ↑, all images",
        "IoU, fixed 0.5 ↑, common images", "ID ↑",
    ]  # fmt: skip
    bold = [(cells[0].text, k) for cells, _ in table.lines for k, cell in enumerate(cells) if cell.best]
    assert bold == [("RISE", 3), ("RISE", 5), ("RISE", 6)]


def test_verdicts_have_a_kind(run_of, tmp_path):
    path = write(tmp_path, "claims", "claim,verdict\na,holds\nb,does not hold\nc,cannot be told\nd,not run\ne,odd\n")
    kinds = [cells[1].kind for cells, _ in tables.table(run_of(), path).lines]
    assert kinds == ["good", "bad", "open", "none", "none"]
    tally = summary.claims(path)
    assert tally is not None
    assert tally.counts[0] == ("holds", "good", 1)
    assert len(tally.verdicts) == 5


def test_long_tables_are_cut_and_say_so(run_of, tmp_path):
    path = write(tmp_path, "new", "a\n" + "1\n" * (tables.MOST_ROWS + 3))
    table = tables.table(run_of(), path)
    assert (len(table.lines), table.left_out) == (tables.MOST_ROWS, 3)


@pytest.mark.parametrize("text", ["a,b\n1\n", 'a,b\n"1,2\n', "a,b\n\ud800".encode("utf-8", "surrogatepass")])
def test_a_broken_table_is_one_sentence(tmp_path, text):
    path = tmp_path / "new.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r"new\.csv .*dvc repro report"):
        tables.read(path)


def test_an_empty_table_has_no_rows(run_of, tmp_path):
    assert tables.table(run_of(), write(tmp_path, "new", "")).lines == []


def test_a_row_leads_to_command_and_scores(run_of, cell_of):
    main = run_of().settings.main_variant
    run = run_of(cell_of(main, 0, [0.1]), cell_of(main, 2, [0.1]), cell_of("box", 0, [0.1]))
    found = trace(run, "main", 2, {"method": "ala", "command": "dvc repro x"})
    assert found.link == "tables/main.csv#row=2"
    assert found.commands == ["dvc repro x"]
    assert found.scores == [f"scores/{main}/seed-0/scores.csv", f"scores/{main}/seed-2/scores.csv"]
    pair = trace(run, "claims", 3, {"higher": "ala", "lower": "box"})
    assert pair.commands == [
        "dvc repro evaluate@0 evaluate@1 evaluate@2", "dvc repro evaluate_main@0 evaluate_main@1 evaluate_main@2",
    ]  # fmt: skip
    assert pair.scores[-1] == "scores/trivial/seed-0/scores.csv"
    one = trace(run, "per_seed", 4, {"method": main, "seed": "2"})
    assert (one.commands, one.scores) == (["dvc repro evaluate@2"], [f"scores/{main}/seed-2/scores.csv"])
    told = trace(run, "new", 5, {"method": "ala", "scores": "scores/a.csv scores/b.csv"})
    assert told.scores == ["scores/a.csv", "scores/b.csv"]
    assert trace(run, "new", 6, {"rule": "otsu"}).commands == []


def test_every_traced_file_is_there(built):
    for name in ("main", "ablation", "claims", "per_seed"):
        lines = (built.out / f"tables/{name}.csv").read_text().splitlines()
        for cells, origin in tables.table(built.run, built.out / f"tables/{name}.csv").lines:
            assert origin.commands
            assert origin.scores
            assert [path for path in origin.scores if not (built.folder / path).is_file()] == []
            if name == "per_seed":
                assert lines[origin.line - 1].startswith(f"{cells[0].title or cells[0].text},")


def test_known_tables_come_first_in_their_order():
    assert catalogue.in_order(["zebra", "per_seed", "main", "apple"]) == ["main", "per_seed", "apple", "zebra"]


def test_provenance_of_any_depth_becomes_lines():
    assert facts.facts({"b": {"c": [1, 2], "d": {"e": None}}, "a": True, "f": [{"g": 1}], "h": {}}) == {
        "general": [("a", "yes")],
        "b": [("c", "1, 2"), ("d.e", "not known")],
        "f": [("1.g", "1")],
    }


def test_values_of_the_slides_are_grey_unless_they_may_be_compared(built):
    path = built.out / "tables/main.csv"
    foreign = {column.sources[0]: column for column in tables.table(built.run, path).columns if column.foreign}
    assert set(foreign) == {"paper_miou", "paper_insertion", "paper_deletion", "paper_id"}
    assert all(column.label.endswith(", not comparable") for column in foreign.values())
    assert '<td class="n foreign"' in built.render()
    paper = replace(built.run, settings=built.run.settings.model_copy(update={"profile": "paper"}))
    assert not any(column.foreign for column in tables.table(paper, path).columns)
