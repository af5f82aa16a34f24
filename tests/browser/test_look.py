"""What the page looks like: contrast in both themes, narrow screens, paper."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser
DARK, LIGHT = {"color_scheme": "dark"}, {"color_scheme": "light"}
NARROW = {"viewport": {"width": 400, "height": 800}}
WIDE = {"viewport": {"width": 1400, "height": 900}}
CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("opened", [LIGHT, DARK], indirect=True, ids=["light", "dark"])
def test_text_contrast_is_enough(opened):
    page = opened.page
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    found = page.evaluate(CONTRAST)
    assert found["low"] == []
    assert found["checked"] > 300
    assert {"a", "p", "td", "th", "code", "badge good"} <= set(found["kinds"])
    page.locator("#grid button").first.click()
    assert page.evaluate(CONTRAST)["low"] == []


def test_every_kind_of_verdict_has_enough_contrast_in_both_themes(opened):
    page = opened.page
    page.evaluate("""() => {
      for (const kind of ["good", "bad", "open", "none"]) {
        const badge = document.querySelector(".tally .badge").cloneNode(true);
        badge.className = `badge ${kind}`;
        document.querySelector(".tally").append(badge);
      }
    }""")
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        found = page.evaluate(CONTRAST)
        assert found["low"] == []
        assert {"badge good", "badge bad", "badge open", "badge none"} <= set(found["kinds"])


@pytest.mark.parametrize("opened", [LIGHT, DARK], indirect=True, ids=["light", "dark"])
def test_theme_follows_the_system_until_it_is_chosen(opened):
    page = opened.page
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    pressed = page.locator("#theme").get_attribute("aria-pressed")
    before = page.evaluate(ground)
    assert pressed == str(page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")).lower()
    page.locator("#theme").click()
    assert page.evaluate(ground) != before
    assert page.locator("#theme").get_attribute("aria-pressed") != pressed


@pytest.mark.parametrize("opened", [NARROW], indirect=True, ids=["400 pixels"])
def test_a_narrow_page_does_not_scroll_sideways(opened):
    page = opened.page
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    table = page.locator("#table-main .dt-layout-table > .scroll")
    page.locator("#table-main button.columns").click()  # all columns
    assert table.evaluate("box => box.scrollWidth > box.clientWidth")
    assert table.get_attribute("tabindex") == "0"  # so that the arrow keys scroll it
    page.locator("#grid button").first.click()
    assert page.locator("dialog[open]").evaluate("box => box.scrollWidth <= box.clientWidth")


@pytest.mark.parametrize("opened", [NARROW, WIDE], indirect=True, ids=["400 pixels", "1400 pixels"])
def test_every_table_stays_within_the_window(opened):
    wider = opened.page.evaluate("""() => [...document.querySelectorAll("#tables .scroll")]
      .filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.textContent.slice(0, 40))""")
    assert wider == []
    assert opened.page.locator("#tables .scroll").count() > 12
    fewest = opened.page.evaluate("""() => Math.min(...[...document.querySelectorAll("table.data")]
      .map((table) => table.tHead.rows[0].cells.length))""")
    assert fewest >= 2


def test_columns_come_back_on_demand_and_with_room(opened):
    page = opened.page
    heads = page.locator("#table-main thead th")
    button = page.locator("#table-main button.columns")
    few, every = heads.count(), int(button.inner_text().split()[1])
    assert few < every
    button.click()
    assert heads.count() == every
    assert button.inner_text() == "Fewer columns"
    assert page.evaluate("document.activeElement.className") == "columns"
    button.click()
    assert heads.count() == few
    page.set_viewport_size({"width": 400, "height": 900})
    page.wait_for_function("few => document.querySelectorAll('#table-main thead th').length < few", arg=few)
    page.set_viewport_size({"width": 1200, "height": 900})
    page.wait_for_function("few => document.querySelectorAll('#table-main thead th').length === few", arg=few)


def test_every_shade_of_a_rank_is_readable_and_the_steps_are_even(opened):
    page = opened.page
    shades = """() => {
      const box = document.querySelector(".ranks");
      box.replaceChildren(...Array.from({ length: 41 }, (_, k) => {
        const square = document.createElement("span");
        square.className = "square";
        square.style.setProperty("--t", k / 40);
        square.textContent = k;
        return square;
      }));
      const colours = [...box.children].map((square) => getComputedStyle(square).backgroundColor);
      return colours.map((colour) => parseFloat(colour.slice("oklch(".length)));
    }"""
    for theme, sign in (("light", 1), ("dark", -1)):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        lightness = page.evaluate(shades)
        steps = [sign * (after - before) for before, after in pairwise(lightness)]
        assert min(steps) == pytest.approx(max(steps), abs=1e-4)
        assert sum(steps) > 0.4
        assert page.evaluate(CONTRAST)["low"] == []


def test_print_shows_every_row_and_no_tools(opened):
    page = opened.page
    every = int(page.locator("#table-per_seed button.columns").inner_text().split()[1])
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("#table-per_seed tbody tr").count() == 36
    assert page.locator("#table-per_seed thead th").count() == every > 20
    assert not page.locator(".bar").is_visible()
    assert not page.locator("#tools").is_visible()


def test_everything_that_reacts_has_a_name(opened):
    nameless = opened.page.evaluate("""() => [...document.querySelectorAll("button, a, input, select, [tabindex='0']")]
      .filter((each) => each.checkVisibility())
      .filter((each) => !(each.textContent.trim() || each.getAttribute("aria-label") || each.labels?.length))
      .map((each) => each.outerHTML.slice(0, 80))""")
    assert nameless == []
