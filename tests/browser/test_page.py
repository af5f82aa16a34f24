"""The page in a browser: tables sort and search, curves tell their values, and nothing is requested."""

from __future__ import annotations

import pytest

from ala.report.html import LIMIT

pytestmark = pytest.mark.browser


def wait_sorted(page, table, direction):
    """DataTables sorts after the event, so that a browser stays responsive."""
    page.wait_for_selector(f"#table-{table} thead th[aria-sort={direction}]", timeout=5000)


def column(page, table, number):
    return page.locator(f"#table-{table} tbody tr td:nth-child({number})").all_inner_texts()


def test_page_is_small(index):
    assert index.stat().st_size < LIMIT


def test_a_click_on_a_heading_sorts_by_the_full_value(opened):
    page = opened.page
    headings = page.locator("#table-main thead th")
    place = next(k for k, text in enumerate(headings.all_inner_texts()) if text.startswith("mean IoU"))
    heading = headings.nth(place)
    order = "els => els.map(el => parseFloat(el.dataset.order))"
    cells = page.locator(f"#table-main tbody tr td:nth-child({place + 1})")
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
        "dvc repro score@fcam-0 score@fcam-1 score@fcam-2",
        *(f"scores/fcam/seed-{seed}/fcam/scores.csv" for seed in range(3)),
    ]
    row.locator("button.copy").click()
    opened.page.wait_for_function("document.querySelector('.trace[open] .copy').textContent !== 'Copy'")


def test_long_tables_are_paged(opened):
    page = opened.page
    rows = page.locator("#table-per_seed tbody tr")
    first = rows.first.inner_text()
    assert rows.count() == 10
    page.locator("#table-per_seed [aria-label=Next]").click()
    assert rows.count() == 10
    assert rows.first.inner_text() != first
    page.locator("#table-per_seed select").select_option("-1")
    assert rows.count() == 36
    assert page.locator("#table-main select").count() == 0


def test_a_heat_map_is_one_stop_of_the_keyboard_and_tells_its_numbers(opened):
    page = opened.page
    table, readout = page.locator("table.ranking").first, page.locator("#table-sensitivity .readout")
    assert table.locator("[tabindex='0']").count() == 1
    squares, columns = table.locator("tbody td"), table.locator("thead th").count()
    squares.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    focused = squares.nth(columns + 1)
    assert focused.evaluate("square => square === document.activeElement")
    assert table.locator("[tabindex='0']").count() == 1
    protocol, method = table.locator("thead th").nth(1).inner_text(), table.locator("tbody th").nth(1).inner_text()
    reported = f"mean IoU ↑, {method}, {protocol}: rank {focused.inner_text()}; {focused.get_attribute('title')}"
    assert readout.inner_text().startswith(reported)
    assert "±" in reported
    line = focused.get_attribute("data-line")
    assert readout.locator("a").get_attribute("href") == f"tables/sensitivity.csv#row={line}"
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")  # nothing is beyond
    assert squares.nth(2 * columns - 1).evaluate("square => square === document.activeElement")
    page.keyboard.press("Tab")
    assert table.evaluate("table => !table.contains(document.activeElement)")
    squares.first.hover()
    assert readout.inner_text().startswith(f"mean IoU ↑, {table.locator('tbody th').first.inner_text()}, ")


def test_enter_opens_the_line_of_the_square_that_has_the_focus(opened):
    page = opened.page
    squares = page.locator("table.ranking").first.locator("tbody td")
    page.evaluate("addEventListener('click', (event) => { window.went = event.target.href; event.preventDefault(); })")
    squares.nth(2).focus()
    squares.first.hover()
    page.keyboard.press("Enter")
    assert page.evaluate("went").endswith(f"tables/sensitivity.csv#row={squares.nth(2).get_attribute('data-line')}")


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
