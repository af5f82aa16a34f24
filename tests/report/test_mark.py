"""A run with random weights: every page says so, first and last, and the slides are no judge of it."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from ala.report import captions, readme
from ala.report.build import Folders, build, stamp
from ala.report.gather import gather
from ala.utils.files import write_json

MARK = "rehearsal: random weights"


@pytest.fixture(scope="module")
def rehearsed(fake, tmp_path_factory):
    """The report of the made-up run, its encoder declared random."""
    folder = tmp_path_factory.mktemp("rehearsal")
    shutil.copytree(fake.folder, folder / "run")
    about = {"sha256": "e" * 64, "source": {"weights": "random weights"}}
    write_json(folder / "run/models/encoder/encoder.json", about)
    data, models, maps, scores = (folder / "run" / name for name in ("data", "models", "maps", "scores"))
    run = gather(fake.settings, scores, models, data, maps)
    build(run, Folders(data, models, maps, scores), folder / "reports")
    return run, folder / "reports"


def test_every_page_begins_and_ends_with_the_mark(rehearsed):
    pages = sorted(rehearsed[1].rglob("*.md"))
    assert len(pages) >= 12
    for page in pages:
        lines = page.read_text().splitlines()
        assert lines[0].startswith("# "), page
        assert lines[1:4] == ["", f"> **{MARK}**", ""], page
        assert lines[-2:] == ["", f"> **{MARK}**"], page


def test_the_page_has_it_in_title_head_and_foot(rehearsed):
    html = (rehearsed[1] / "index.html").read_text()
    assert f"<title>{MARK} – Attention" in html
    assert f'<p class="mark">{MARK}</p>\n<header class="bar">' in html
    assert f'</main>\n<footer class="mark">{MARK}</footer>' in html


def test_what_was_run_says_what_the_numbers_are_worth(rehearsed):
    run = rehearsed[0]
    for text in (captions.what_was_run(run), readme.main_table(run)):
        assert "**Rehearsal: random weights.**" in text
        assert "no number here means anything" in text


def test_the_slides_do_not_judge_it_even_as_paper(rehearsed):
    paper = replace(rehearsed[0], settings=rehearsed[0].settings.model_copy(update={"profile": "paper"}))
    assert not paper.comparable
    assert replace(paper, mark=None).comparable


def test_an_ordinary_run_has_no_mark(built, tmp_path):
    assert built.run.mark is None
    assert MARK not in built.render()
    assert MARK not in captions.what_was_run(built.run)
    (tmp_path / "page.md").write_text("# Page\n")
    stamp(tmp_path, None)
    assert (tmp_path / "page.md").read_text() == "# Page\n"
