"""The page in a browser: tables sort and search, curves tell their values, and nobody is asked for anything."""

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
