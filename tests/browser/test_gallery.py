"""The gallery in a browser: filters, the opacity of the maps, the dialog of one image."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser


def test_gallery_filters_by_class_method_and_kind(opened):
    page = opened.page
    cards = page.locator("#grid button")
    assert cards.count() == 12
    page.select_option("#by-class", label="Disc 1")
    assert cards.count() == 4
    assert all("Disc 1" in card.get_attribute("aria-label") for card in cards.all())
    assert page.locator("#count").inner_text() == "4 of 12 images, map of ALA"
    page.select_option("#by-class", "")
    page.select_option("#by-method", "rise")  # explains every second image
    assert cards.count() == 6
    page.select_option("#by-method", "ala")
    kinds = page.locator("#by-kind option").all_inner_texts()[1:]
    assert kinds
    assert set(kinds) <= {"OA", "IA", "Others"}
    page.select_option("#by-kind", kinds[0])
    assert 1 <= cards.count() <= 5  # of the five worst
    page.select_option("#by-kind", "")
    page.select_option("#by-order", "worst")
    shown = [float(text.split()[-1]) for text in page.locator("#grid .under-image span:last-child").all_inner_texts()]
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


def test_an_image_opens_its_scores_and_gives_the_focus_back(opened):
    page = opened.page
    card = page.locator("#grid button").first
    card.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    assert dialog.locator("h2").inner_text().startswith("Image ")
    assert dialog.locator("tbody th").all_inner_texts()[:4] == ["ALA", "F-CAM", "RISE", "ABN"]
    assert dialog.locator(".chart h4").all_inner_texts() == ["Insertion", "Deletion"]
    title = dialog.locator("h2").inner_text()
    dialog.locator(".next").click()
    assert dialog.locator("h2").inner_text() != title
    assert dialog.locator(".chart").count() == 0  # the second image was not perturbed
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("document.activeElement === document.querySelector('#grid button')")


def test_an_image_in_a_table_opens_the_same_dialog(opened):
    link = opened.page.locator("#table-error_top tbody a.to-image").first
    link.click()
    assert opened.page.locator("dialog[open] h2").inner_text().startswith(f"Image {link.inner_text()},")
    assert "Kind of error: " in opened.page.locator("dialog[open] p.kind").inner_text()
    opened.page.locator("dialog[open] .close").click()
    assert opened.page.evaluate("document.activeElement.className") == "to-image"
