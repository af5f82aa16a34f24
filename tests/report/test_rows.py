"""Rows of the tables: all of them follow from `methods`, and a new method is a row everywhere."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from ala.config.schema import ROWS
from ala.report.rows import ZERO_SHOT, rows_of
from tests.report.conftest import changed
from tests.report.fake_run import MINE, ROOT


@pytest.fixture
def rows(run_of):
    return run_of().rows


def test_groups_and_their_order_follow_from_the_list_of_methods(rows):
    assert [row.name for row in rows.explainers] == ["ala", "fcam", "rise", "abn"]
    assert [row.name for row in rows.main[4:]] == ["full", "center", "noise", "box"]
    assert [row.name for row in rows.ablation] == list(ROWS)
    assert [row.name for row in rows.methods if row.kind == "ablation"] == ["i", "ii", "iv"]  # (iii) is ALA
    turned = run_names({"methods": ["rise", "iv+i", "ala", "box"]}, rows)
    assert turned == (["rise", "ala", "box"], ["iv", "i"])


def run_names(changes, rows):
    from ala.config import load

    found = rows_of(load(ROOT / "params.yaml").model_copy(update=changes))
    return [row.name for row in found.main], [row.name for row in found.ablation]


@pytest.mark.parametrize(
    ("name", "label"),
    [("ala", "ALA"), ("abn", "ABN"), ("fcam", "F-CAM"), ("rise", "RISE"), ("i", "(i)"), ("center", "centred Gaussian"),
     ("aea-true-sbn-true", "ALA"), (ZERO_SHOT, "frozen encoder, zero-shot"), ("nobody", "nobody")],
)  # fmt: skip
def test_labels(rows, name, label):
    assert rows.label(name) == label


def test_maps_of_another_model_say_so(run_of):
    rows = changed(run_of(), methods=["ala", "fcam", "rise-on-fcam"]).rows
    assert rows.label("rise-on-fcam") == "RISE on fcam"
    assert rows["rise-on-fcam"].evaluated == "fcam"
    assert not rows["rise-on-fcam"].explains_main


def test_colours_follow_the_order_and_one_method_has_one(rows, run_of):
    """The paper's methods have the colours that they always had."""
    colours = {row.name: row.look.figure for row in rows}
    assert [colours[name] for name in ("ala", "fcam", "rise", "abn", "i", "ii")] == [
        "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
    ]  # fmt: skip
    assert rows["iii"].look == rows["ala"].look
    looks = {row.look for row in rows}
    assert len(looks) == len({look.index for look in looks}) == len(rows.methods)
    assert len({(look.figure, look.dash) for look in looks}) == len(looks)


def test_more_methods_than_colours_differ_by_dashes(run_of):
    names = ["rise", *(f"rise-on-{model}" for model in ("fcam", "abn", "i", "ii", "iii", "iv", "lora", "all-taps"))]
    rows = changed(run_of(), methods=names).rows
    seen = {(row.look.figure, row.look.dash) for row in rows}
    assert len(seen) == len(names)


def test_a_method_of_the_users_own_is_a_row_everywhere(built):
    """It is named in `methods` alone; nothing in the package knows it (tests/report/mine.py)."""
    frames = {name: table.frame for name, table in built.content.tables.items()}
    assert MINE in set(frames["main"]["method"])
    assert {*frames["sensitivity"]["metric"]} <= {*frames["sensitivity"].query("method == @MINE")["metric"]}
    assert frames["sensitivity"].query("method == @MINE")["rank"].notna().all()
    assert MINE in set(frames["common_model"]["method"])
    assert len(frames["per_seed"].query("method == @MINE")) == 3
    assert {"ala", "fcam", "rise", "abn"} <= set(frames["paired"].query("second == @MINE")["first"])
    assert len(frames["paired"].query("first == @MINE and second == 'center'")) == 4
    assert MINE in set(pd.read_csv(built.out / "curves/insertion.csv")["method"])
    text = built.render()
    look = built.run.rows[MINE].look
    assert look not in {row.look for row in built.run.rows if row.name != MINE}
    assert f".s-{look.index} {{ --colour: light-dark({look.light}, {look.dark})" in text
    assert f'"row":"{MINE}"' in text
    assert '"label":"my method","look":' in text
    assert re.search(r"<dt><i class=\"dot s-\d+\"></i>my method</dt>", text)
    assert "| my method |" in (built.out / "report.md").read_text()


@pytest.mark.parametrize("name", ["fcam", "rise", "abn", "full", "noise", "box"])
def test_the_report_names_no_method(name):
    """But for the paper's values and claims, in slides.yaml; see rule 2 of the house."""
    files = [*(ROOT / "ala/report").rglob("*.py"), *(ROOT / "ala/report/html/templates").iterdir()]
    named = [file.name for file in files if re.search(rf"[\"']{name}[\"']|\.s-{name}\b", file.read_text())]
    assert named == []
