"""The page as text: whole, safe, the same every time, and without anything from outside."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest

from ala.report.html import LIMIT
from ala.report.html.facts import facts
from tests.report.fake_run import ROOT

NASTY = '<b>&"x</b></script><script>alert(1)</script>'


class Reader(HTMLParser):
    """Links, sources, ids and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.ids: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.texts: list[str] = []
        self._inside = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if "src" in given or (tag == "link" and "href" in given):
            self.sources.append(str(given.get("src") or given.get("href")))
        elif "href" in given:
            self.links.append(str(given["href"]))
        if given.get("id"):
            self.ids.append(str(given["id"]))
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append(given)
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def data(self) -> dict:
        return json.loads(next(t for s, t in zip(self.scripts, self.texts, strict=True) if s.get("id") == "data"))


@pytest.fixture(scope="module")
def page(built) -> str:
    return built.render()


def test_same_inputs_give_the_same_bytes(built, page):
    assert built.render() == page


def test_page_is_small_and_names_no_place_on_this_machine(built, page):
    assert len(page.encode()) < LIMIT
    for place in (built.folder, built.out, ROOT):
        assert str(place) not in page


def test_nothing_comes_from_outside(page):
    reader = Reader(page)
    assert reader.sources
    assert [source[:40] for source in reader.sources if not source.startswith("data:")] == []
    assert not re.search(r"url\((?!data:)|@import", page[: page.index("</style>")])
    assert [script for script in reader.scripts if "src" in script] == []


def test_links_lead_to_files_of_the_report_or_into_the_page(built, page):
    reader = Reader(page)
    outward = {link.split("#")[0] for link in reader.links if not link.startswith("#")}
    assert {link for link in outward if re.match(r"[a-z]+:|/", link)} == set()
    made_elsewhere = {"provenance.json"}
    assert {link for link in outward - made_elsewhere if not (built.out / link).is_file()} == set()
    images = {f"image-{image['id']}" for image in reader.data()["gallery"]["images"]}
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids) | images
    assert len(reader.ids) == len(set(reader.ids))


def test_names_are_shown_and_never_obeyed(built, page):
    odd = replace(built.content.tables["errors"], frame=pd.DataFrame({"name": [NASTY], "value": [0.5]}))
    content = replace(built.content, tables=built.content.tables | {"errors": odd})
    text = built.render(content=content, cache=built.named(NASTY), provenance={"commit": NASTY})
    assert NASTY not in text
    assert "<script>alert" not in text
    assert text.count("</script") == page.count("</script")
    assert Reader(text).data()["gallery"]["classes"][0] == NASTY.replace("_", " ")


def test_summary_comes_first_and_counts_the_verdicts(page):
    body = page[page.index("<main") :]
    places = [body.index(f'id="{part}"') for part in ("summary", "tables", "curves", "gallery", "figures", "origin")]
    assert places == sorted(places)
    summary = body[: places[1]]
    assert summary.index("ALA better than F-CAM in mean IoU") < summary.index("What was run:")
    counts = sum(int(number) for number in re.findall(r"<strong>(\d+)</strong> <span class=\"badge", summary))
    assert counts == summary.count('<li class="') == 18


def test_what_is_missing_is_named(built):
    built.run.notes.append("`abn` was not run; <i>really</i>")
    try:
        text = built.render()
    finally:
        built.run.notes.pop()
    assert "<li><code>abn</code> was not run; &lt;i&gt;really&lt;/i&gt;</li>" in text


def test_provenance_is_a_table(page):
    assert re.search(r">commit</th><td>abc<", page)
    assert re.search(r">torch</th><td>2\.9<", page)
    assert re.search(r">train\.seconds</th><td>2\.5<", page)


def test_figures_have_alternative_texts(built, page):
    found = re.findall(r'<img src="data:image/png[^"]*" alt="([^"]+)"', page)
    assert len(found) == len(list((built.out / "figures").glob("*.png"))) == 7


def test_a_page_that_would_be_too_large_takes_fewer_images(built, page, monkeypatch):
    limit = len(page.encode()) - 10_000
    monkeypatch.setattr("ala.report.html.page.LIMIT", limit)
    text = built.render()
    assert len(text.encode()) <= limit
    shown = len(Reader(text).data()["gallery"]["images"])
    assert 0 < shown < 12
    assert f"{shown} of 12 test images" in text


def test_a_run_without_ala_has_a_page_without_a_gallery(built):
    others = {key: one for key, one in built.run.summaries.items() if key[0] != built.run.settings.main_variant}
    text = built.render(run=replace(built.run, summaries=others))
    assert Reader(text).data()["gallery"] is None
    assert 'id="gallery"' not in text
    assert 'href="#gallery"' not in text


def test_provenance_of_any_depth_becomes_lines():
    assert facts({"b": {"c": [1, 2], "d": {"e": None}}, "a": True, "f": {"g": 1}, "h": {}}) == {
        "general": [("a", "yes")],
        "b": [("c", "1, 2"), ("d.e", "not known")],
        "f": [("g", "1")],
    }
