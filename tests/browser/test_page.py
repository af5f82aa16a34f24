"""The page in a browser: it sorts, searches, filters, opens photos, and asks nobody for anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from ala.report.html import LIMIT

pytestmark = pytest.mark.browser
DARK, LIGHT = {"color_scheme": "dark"}, {"color_scheme": "light"}
NARROW = {"viewport": {"width": 400, "height": 800}}
CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")


def wait_sorted(page, table, direction):
    """DataTables sorts after the event, so that a browser stays responsive."""
    page.wait_for_selector(f"#table-{table} thead th[aria-sort={direction}]", timeout=5000)


def column(page, table, number):
    return page.locator(f"#table-{table} tbody tr td:nth-child({number})").all_inner_texts()


def test_page_is_small(index):
    assert index.stat().st_size < LIMIT


def test_a_click_on_a_heading_sorts_by_the_full_value(opened):
    page = opened.page
    heading = page.locator("#table-main thead th").nth(4)
    assert heading.inner_text().startswith("mean IoU")
    order = "els => els.map(el => parseFloat(el.dataset.order))"
    cells = page.locator("#table-main tbody tr td:nth-child(5)")
    before = cells.evaluate_all(order)
    heading.click()
    wait_sorted(page, "main", "ascending")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert cells.evaluate_all(order) == sorted(before) != before
    heading.click()
    wait_sorted(page, "main", "descending")
    assert cells.evaluate_all(order) == sorted(before, reverse=True)


def test_the_keyboard_sorts_as_well(opened):
    page = opened.page
    before = column(page, "ablation", 1)
    heading = page.locator("#table-ablation thead th").first
    heading.locator("[tabindex='0'], button").first.focus()
    for direction in ("ascending", "descending"):
        page.keyboard.press("Enter")
        wait_sorted(page, "ablation", direction)
    assert column(page, "ablation", 1) == sorted(before, reverse=True) != before


def test_search_keeps_the_rows_that_match(opened):
    page = opened.page
    page.locator("#table-main input[type=search]").fill("F-CAM")
    assert column(page, "main", 1) == ["F-CAM"]
    page.locator("#table-main input[type=search]").fill("no such row")
    assert column(page, "main", 1) == ["No row matches."]
    assert len(column(page, "ablation", 1)) == 4  # other tables stay


def test_a_row_shows_its_csv_line_command_and_scores(opened):
    row = opened.page.locator("#table-main tbody tr", has_text="F-CAM")
    row.locator("summary").click()
    assert row.locator("a").get_attribute("href") == "tables/main.csv#row=3"
    assert row.locator("code").all_inner_texts() == [
        "dvc repro evaluate@0 evaluate@1 evaluate@2", *(f"scores/fcam/seed-{seed}/scores.csv" for seed in range(3)),
    ]  # fmt: skip
    row.locator("button.copy").click()
    opened.page.wait_for_function("document.querySelector('.trace[open] .copy').textContent !== 'Copy'")


def test_curves_tell_their_values_to_the_keyboard(opened):
    chart = opened.page.locator("#charts .chart").first
    slider = chart.locator("input[type=range]")
    slider.focus()
    opened.page.keyboard.press("Home")
    first = chart.locator(".legend .value").all_inner_texts()
    assert slider.get_attribute("aria-valuetext").startswith("share of the pixels 0: ALA 0.000")
    opened.page.keyboard.press("End")
    assert chart.locator(".legend .value").all_inner_texts() != first
    lines = chart.locator("svg path.line")
    before = lines.count()
    chart.locator(".legend button").first.click()
    assert lines.count() == before - 1


def test_pointing_at_a_curve_moves_its_cursor(opened):
    chart = opened.page.locator("#charts .chart").first
    chart.scroll_into_view_if_needed()
    before = chart.locator(".place").inner_text()
    box = chart.locator(".plot").bounding_box()
    opened.page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 50)
    assert chart.locator(".place").inner_text() == "share of the pixels 1" != before


def test_gallery_filters_by_class_method_and_kind(opened):
    page = opened.page
    cards = page.locator("#grid button")
    assert cards.count() == 12
    page.select_option("#by-class", label="Disc 1")
    assert cards.count() == 4
    assert all("Disc 1" in card.get_attribute("aria-label") for card in cards.all())
    assert page.locator("#count").inner_text() == "4 of 12 photos, map of ALA"
    page.select_option("#by-class", "")
    page.select_option("#by-method", "rise")  # explains every second photo
    assert cards.count() == 6
    page.select_option("#by-method", "ala")
    page.select_option("#by-kind", "over-attended")
    assert cards.count() == 1
    page.select_option("#by-kind", "")
    page.select_option("#by-order", "worst")
    shown = [float(text.split()[-1]) for text in page.locator("#grid .under-photo span:last-child").all_inner_texts()]
    assert shown == sorted(shown)


def test_slider_changes_the_opacity_of_the_maps(opened):
    page = opened.page
    page.locator("#grid").scroll_into_view_if_needed()
    page.wait_for_selector("#grid canvas.map")
    strength = "getComputedStyle(document.querySelector('#grid canvas.map')).opacity"
    assert page.evaluate(strength) == "0.6"
    page.locator("#opacity").fill("20")
    assert page.evaluate(strength) == "0.2"
    assert page.locator("#opacity-value").inner_text() == "20 %"


def test_maps_are_coloured(opened):
    page = opened.page
    page.locator("#grid").scroll_into_view_if_needed()
    page.wait_for_selector("#grid canvas.map")
    ends = page.evaluate("""() => {
      const canvas = document.querySelector("#grid canvas.map");
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      const sums = [];
      for (let k = 0; k < data.length; k += 4) sums.push([data[k] + data[k+1] + data[k+2], ...data.slice(k, k + 3)]);
      sums.sort((a, b) => a[0] - b[0]);
      return [sums[0].slice(1), sums.at(-1).slice(1)];
    }""")
    assert ends == [[0, 0, 4], [252, 255, 164]]  # the two ends of inferno


def test_a_photo_opens_its_scores_and_gives_the_focus_back(opened):
    page = opened.page
    card = page.locator("#grid button").first
    card.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    assert dialog.locator("h2").inner_text().startswith("Photo ")
    assert dialog.locator("tbody th").all_inner_texts()[:4] == ["ALA", "F-CAM", "RISE", "ABN"]
    assert dialog.locator(".chart h4").all_inner_texts() == ["Insertion", "Deletion"]
    title = dialog.locator("h2").inner_text()
    dialog.locator(".next").click()
    assert dialog.locator("h2").inner_text() != title
    assert dialog.locator(".chart").count() == 0  # the second photo was not perturbed
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("document.activeElement === document.querySelector('#grid button')")


def test_a_photo_in_a_table_opens_the_same_dialog(opened):
    link = opened.page.locator("#table-error_top tbody a.to-photo").first
    link.click()
    assert opened.page.locator("dialog[open] h2").inner_text().startswith(f"Photo {link.inner_text()},")
    assert "over-attended" in opened.page.locator("dialog[open] p.kind").inner_text()
    opened.page.locator("dialog[open] .close").click()
    assert opened.page.evaluate("document.activeElement.className") == "to-photo"


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
