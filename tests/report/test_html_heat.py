"""Heat maps of ranks: which methods and protocols they have, which rank a square shows, what it tells."""

from __future__ import annotations

import io
import re

import pandas as pd
import pytest

from ala.report.html import heat
from ala.report.table import Table

HEAD = "protocol,metric,method,n_seeds,n_images,mean,std,rank,command,scores\n"
#: `mine` and `rise` are ranked, `box` and `iv` are not; energy is measured under one protocol alone.
LINES = """\
strict,miou,mine,3,30,0.51234,0.01,1,x,y
strict,miou,rise,3,30,0.4,0.02,2,x,y
strict,miou,box,3,30,0.45,0.0,,x,y
strict,miou,iv,3,29,0.1,0.0,,x,y
loose,miou,mine,3,30,0.6,0.01,,x,y
loose,miou,rise,3,29,0.7,0.02,,x,y
loose,miou,box,3,30,0.9,0.0,,x,y
lab-a,deletion,mine,1,30,0.2,,2,x,y
lab-a,deletion,rise,1,30,0.1,,1,x,y
lab-a,deletion,box,1,30,0.05,,,x,y
lab-b,deletion,rise,1,30,0.1,,1,x,y
lab-b,deletion,iv,1,30,0.3,,,x,y
places,energy,rise,3,30,0.5,0.1,1,x,y
places,energy,box,3,30,0.5,0.1,,x,y
"""


def maps_of(run, text):
    frame = pd.read_csv(io.StringIO(text)).astype({"rank": "Int64"})
    return heat.heat_maps(Table("sensitivity", frame, "Sensitivity"), run.rows)


@pytest.fixture
def maps(run_of):
    return maps_of(run_of(), HEAD + LINES)


def test_methods_and_protocols_are_those_of_the_table(maps):
    seen = [(group.heading, group.columns, [label for label, _ in group.ranked], [label for label, _ in group.others])
            for group in maps.groups]  # fmt: skip
    assert seen == [
        ("mean IoU ↑", ["strict", "loose"], ["mine", "RISE"], ["box (oracle)", "(iv)"]),
        ("Deletion ↓", ["lab-a", "lab-b"], ["mine", "RISE"], ["box (oracle)", "(iv)"]),
        ("Places", ["energy"], ["RISE"], ["box (oracle)"]),
    ]


def test_a_square_shows_the_rank_or_the_one_that_it_would_take(maps):
    places = [{label: [square.place for square in row] for label, row in (*group.ranked, *group.others)}
              for group in maps.groups]  # fmt: skip
    assert places == [
        # `loose`: other images, no ranks; `iv` under `strict`: other images than the ranked ones
        {"mine": [1, None], "RISE": [2, None], "box (oracle)": [2, None], "(iv)": [None, None]},
        {"mine": [2, None], "RISE": [1, 1], "box (oracle)": [1, None], "(iv)": [None, 2]},  # less is better
        {"RISE": [1], "box (oracle)": [1]},  # a tie
    ]


def test_a_square_tells_its_numbers_and_its_line(maps):
    (_, mine), (_, rise) = maps.groups[0].ranked
    assert (mine[0].title, mine[0].line) == ("0.512 ± 0.010; images: 30; seeds: 3", 2)
    assert (rise[1].title, rise[1].line) == ("0.700 ± 0.020; images: 29; seeds: 3", 7)
    (_, first), (_, second) = maps.groups[1].others
    assert (first[0].title, second[1].title) == ("0.050; images: 30; seeds: 1; not ranked",
                                                 "0.300; images: 30; seeds: 1; not ranked")  # fmt: skip
    assert (second[0].title, second[0].line, second[0].place) == ("not run", None, None)


def test_shades_go_evenly_from_the_best_to_behind_all(maps):
    assert maps.scale == [(1, 0), (2, 0.5), (3, 1)]
    assert [square.shade for square in maps.groups[0].ranked[1][1]] == [0.5, 1]


def test_a_table_without_rows_has_no_maps(run_of):
    assert maps_of(run_of(), HEAD).groups == []


def test_the_rank_that_a_row_would_take_is_that_of_the_table(built):
    """Over every ranked row of a whole run: the page's rule and that of the table agree."""
    frame = built.content.tables["sensitivity"].frame
    ranked = [line for _, line in frame[frame["rank"].notna()].iterrows()]
    assert len({line["metric"] for line in ranked}) > 3
    for line in ranked:
        rivals = [other for other in ranked
                  if (other["protocol"], other["metric"]) == (line["protocol"], line["metric"])]  # fmt: skip
        assert heat.would_rank(line, rivals) == line["rank"]


def test_the_page_has_every_line_as_one_square_and_no_long_table(built):
    article = re.search(r'<article id="table-sensitivity".*?</article>', built.render(), re.DOTALL)[0]
    lines = len((built.out / "tables/sensitivity.csv").read_text().splitlines())
    assert sorted(map(int, re.findall(r'data-line="(\d+)"', article))) == list(range(2, lines + 1))
    assert article.count("<tr>") < lines / 3
    assert 'href="tables/sensitivity.csv"' in article
    assert "<code>scores/" not in article
