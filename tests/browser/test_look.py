"""What the page looks like: contrast in both themes, narrow screens, paper."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.browser
DARK, LIGHT = {"color_scheme": "dark"}, {"color_scheme": "light"}
NARROW = {"viewport": {"width": 400, "height": 800}}
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
    assert table.evaluate("box => box.scrollWidth > box.clientWidth")
    assert table.get_attribute("tabindex") == "0"  # so that the arrow keys scroll it
    page.locator("#grid button").first.click()
    assert page.locator("dialog[open]").evaluate("box => box.scrollWidth <= box.clientWidth")


def test_print_shows_every_row_and_no_tools(opened):
    page = opened.page
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("#table-per_seed tbody tr").count() == 33
    assert not page.locator(".bar").is_visible()
    assert not page.locator("#tools").is_visible()


def test_everything_that_reacts_has_a_name(opened):
    nameless = opened.page.evaluate("""() => [...document.querySelectorAll("button, a, input, select, [tabindex='0']")]
      .filter((each) => each.checkVisibility())
      .filter((each) => !(each.textContent.trim() || each.getAttribute("aria-label") || each.labels?.length))
      .map((each) => each.outerHTML.slice(0, 80))""")
    assert nameless == []
