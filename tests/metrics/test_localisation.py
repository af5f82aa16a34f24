"""Localisation metrics against loops over pixels, contours and thresholds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ala.explainers.box import Box
from ala.metrics import localisation as loc


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
    """Six maps of blobs and noise, and their masks."""
    random = np.random.default_rng(0)
    masks = np.zeros((6, 20, 20), bool)
    maps = random.random((6, 20, 20)).astype(np.float32) * 0.4
    for n in range(6):
        y, x, h, w = random.integers(2, 8, 4)
        masks[n, y : y + h, x : x + w] = True
        maps[n, y - 1 : y + h - n % 2, x : x + w + 1] += 0.5
    maps -= maps.min(axis=(1, 2), keepdims=True)
    return maps / maps.max(axis=(1, 2), keepdims=True), masks


def boxes_of(masks: np.ndarray) -> np.ndarray:
    """x, y, width, height around the true pixels."""
    found = []
    for mask in masks:
        ys, xs = np.nonzero(mask)
        found.append((xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1))
    return np.array(found, np.float32)


#: The eight neighbours, clockwise from the left one.
AROUND = [(0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1)]


def traced(foreground: np.ndarray) -> list[tuple[bool, list[tuple[int, int]]]]:
    """Every border of a mask, followed pixel by pixel (Suzuki and Abe 1985): whether it is an outer one, its pixels."""
    seen = np.pad(foreground.astype(int), 1)
    found: list[tuple[bool, list[tuple[int, int]]]] = []
    for y, x in np.ndindex(*seen.shape):
        if seen[y, x] == 1 and seen[y, x - 1] == 0:
            outer, begin = True, 0  # the background pixel on the left
        elif seen[y, x] >= 1 and seen[y, x + 1] == 0:
            outer, begin = False, 4
        else:
            continue
        found.append((outer, followed(seen, (y, x), begin, len(found) + 2)))
    return found


def followed(seen: np.ndarray, start: tuple[int, int], begin: int, mark: int) -> list[tuple[int, int]]:
    """One border from `start`, whose neighbour number `begin` is background; `seen` gets its marks."""

    def neighbour(pixel: tuple[int, int], place: int) -> tuple[int, int]:
        return pixel[0] + AROUND[place % 8][0], pixel[1] + AROUND[place % 8][1]

    clockwise = [place for place in range(begin + 1, begin + 8) if seen[neighbour(start, place)]]
    if not clockwise:
        seen[start] = -mark
        return [start]
    last = neighbour(start, clockwise[0])  # the pixel before `start`, where the border will end
    before, pixel, path = last, start, []
    while True:
        came = AROUND.index((before[0] - pixel[0], before[1] - pixel[1]))
        place = next(came - k for k in range(1, 9) if seen[neighbour(pixel, came - k)])  # counterclockwise
        passed_right = any((came - k) % 8 == 4 for k in range(1, came - place))
        if passed_right:
            seen[pixel] = -mark
        elif seen[pixel] == 1:
            seen[pixel] = mark
        path.append(pixel)
        following = neighbour(pixel, place)
        if following == start and pixel == last:
            return path
        before, pixel = pixel, following


def shoelace(path: list[tuple[int, int]]) -> float:
    y, x = np.array(path, float).T
    return abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())) / 2


def slow_boxes(foreground: np.ndarray) -> np.ndarray:
    """Boxes of the traced contours, the largest first, as wsolevaluation has them."""
    borders = traced(foreground)
    if not borders:
        return np.array([[0, 0, 0, 0]])
    order = [(shoelace(path), outer, place) for place, (outer, path) in enumerate(borders)]
    boxes = []
    for place in [max(order)[2], *range(len(borders))]:
        y, x = np.array(borders[place][1]).T - 1  # without the padding
        height, width = foreground.shape
        boxes.append([x.min(), y.min(), min(x.max() + 1, width - 1), min(y.max() + 1, height - 1)])
    return np.array(boxes)


def slow_iou(box: np.ndarray, truth: list[int]) -> float:
    """By counting painted pixels, both ends painted."""
    painted = np.zeros((2, 40, 40), bool)
    for plane, (x0, y0, x1, y1) in zip(painted, (box, truth), strict=True):
        plane[y0 : y1 + 1, x0 : x1 + 1] = True
    return float((painted[0] & painted[1]).sum() / (painted[0] | painted[1]).sum())


def test_boxes_against_traced_contours(images):
    maps, masks = images
    maps[:, 8:10, 8:10] = 0  # holes, too
    boxes = boxes_of(masks)
    largest, best = loc.box_scores(maps, boxes, 0.05)
    for n in range(6):
        levels = (maps[n] * 255).astype(np.uint8)
        x, y, width, height = boxes[n].astype(int)
        for place, tau in enumerate(np.arange(0, 1, 0.05)):
            found = slow_boxes(levels > int(tau * levels.max()))
            ious = [slow_iou(box, [x, y, x + width, y + height]) for box in found]
            assert (largest[n, place], best[n, place]) == pytest.approx((ious[0], max(ious)))
    shares = [[np.mean([largest[n, t] >= 0.5 for n in range(6)]) for t in range(20)]]
    assert loc.max_box_acc(largest) == max(shares[0])
    levels = [max(np.mean([best[n, t] >= level for n in range(6)]) for t in range(20)) for level in (0.3, 0.5, 0.7)]
    assert loc.max_box_acc_v2(best) == pytest.approx(sum(levels) / 3)
    assert 0 < loc.max_box_acc(largest) <= 1


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.booleans()))
def test_contours_of_any_mask(foreground):
    found, expected = loc.contour_boxes(foreground), slow_boxes(foreground)
    np.testing.assert_array_equal(found[0], expected[0])
    assert sorted(found[1:].tolist()) == sorted(expected[1:].tolist())


def test_a_hole_has_a_contour_of_its_own():
    """Its box runs over the pixels around the hole, and may fit the object better than the outer one."""
    foreground = np.zeros((14, 14), bool)
    foreground[1:13, 1:13] = True
    foreground[4:8, 5:9] = False
    np.testing.assert_array_equal(loc.contour_boxes(foreground), [[1, 1, 13, 13], [1, 1, 13, 13], [4, 3, 10, 9]])
    largest, best = loc.box_scores(foreground[None].astype(np.float32), np.array([[4, 3, 6, 6]]), 0.5)
    assert largest[0, 0] == pytest.approx(49 / 169)
    assert best[0, 0] == 1


def test_the_largest_contour_encloses_most_whatever_its_pixels():
    """A thin ring encloses more than a solid block of more pixels; a long line encloses nothing."""
    foreground = np.zeros((20, 20), bool)
    foreground[0, :] = True  # 20 pixels, area 0
    foreground[2:10, 2:10] = True
    foreground[3:9, 3:9] = False  # 28 pixels, area 49
    foreground[12:18, 12:18] = True  # 36 pixels, area 25
    np.testing.assert_array_equal(loc.contour_boxes(foreground)[0], [2, 2, 10, 10])
    assert loc.contour_area(foreground[2:10, 2:10]) == 49
    assert loc.contour_area(foreground[:1]) == 0


def test_of_equal_areas_the_contour_that_starts_lowest():
    foreground = np.zeros((12, 12), bool)
    foreground[[1, 1, 9, 9], [1, 8, 3, 9]] = True
    np.testing.assert_array_equal(loc.contour_boxes(foreground)[0], [9, 9, 10, 10])


def test_edges_beyond_the_last_pixel_are_moved_to_it():
    np.testing.assert_array_equal(loc.contour_boxes(np.ones((5, 7), bool))[0], [0, 0, 6, 4])
    np.testing.assert_array_equal(loc.contour_boxes(np.zeros((5, 7), bool)), [[0, 0, 0, 0]])


def test_a_map_equal_to_its_box_is_perfect():
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 2:5, 3:8] = True
    largest, best = loc.box_scores(mask.astype(np.float32), boxes_of(mask), 0.1)
    assert loc.max_box_acc(largest) == loc.max_box_acc_v2(best) == 1
    nothing, _ = loc.box_scores(np.zeros((1, 9, 9), np.float32), boxes_of(mask), 0.1)
    assert nothing.max() == 0


def test_listed_boxes_are_cut_to_integers():
    boxes = np.array([[3, 2, 5, 3], [0.5, 0.6, 1.0, 1.6], [4.6, 0.1, 0.2, 20]])
    np.testing.assert_array_equal(loc.listed(boxes), [[3, 2, 8, 5], [0, 0, 1, 2], [4, 0, 4, 20]])


@pytest.mark.parametrize(("width", "side"), [(250, 80), (500, 224), (333, 384), (2000, 80)])
def test_listed_boxes_do_not_lose_a_pixel_to_rounding(width, side):
    """From integers of an image `width` wide, reduced to float32 boxes: what integer arithmetic gives."""
    random = np.random.default_rng(0)
    edges = np.sort(random.integers(0, width + 1, (2000, 2, 2)), axis=1)  # x0 and x1, y0 and y1
    start, stop = edges[:, 0], edges[:, 1]
    reduced = (np.hstack([start, stop - start]) * (side / width)).astype(np.float32)
    np.testing.assert_array_equal(loc.listed(reduced), np.hstack([start, stop]) * side // width)


def oracle(boxes: np.ndarray, size: int) -> np.ndarray:
    return Box().explain(torch.empty(len(boxes), 3, size, size), torch.zeros(len(boxes)), boxes).numpy()


def test_the_oracle_map_finds_every_listed_box():
    """The map `box` paints the pixels whose centre the box covers: the same ones, if it is of whole pixels."""
    random = np.random.default_rng(0)
    boxes = random.integers(1, 8, (40, 4)).astype(np.float32)
    largest, best = loc.box_scores(oracle(boxes, 16), boxes, 0.5)
    assert (largest == 1).all()
    assert (best == 1).all()
    fractions = np.hstack([random.uniform(1, 9, (40, 2)), random.uniform(40, 50, (40, 2))])
    largest, _ = loc.box_scores(oracle(fractions, 64), fractions, 0.5)
    assert largest.min() > (40 / 42) ** 2  # each edge is off by a pixel at most


def test_pxap_against_every_threshold(images):
    maps, masks = images
    histograms = sum(loc.score_histograms(maps[n : n + 1], masks[n : n + 1]) for n in range(6))
    values, truth = np.floor(maps * 1000).ravel(), masks.ravel()
    total, before, expected = truth.sum(), 0.0, 0.0
    for threshold in range(1000, -1, -1):
        predicted = values >= threshold
        if not predicted.any():
            continue
        recall = (predicted & truth).sum() / total
        expected += (predicted & truth).sum() / predicted.sum() * (recall - before)
        before = recall
    assert loc.pxap(histograms) == pytest.approx(expected)


def test_pxap_bins_are_wsolevaluations():
    """Histograms between 0, 0.001, ..., 0.999, 1, 2 and 3, whatever float32 makes of a value on an edge."""
    random = np.random.default_rng(0)
    steps = np.concatenate([np.arange(1001), np.arange(1001) + 0.5, [125, 250, 375, 500, 875, 1000]])
    maps = np.clip(random.permutation(steps) / 1000, 0, 1).astype(np.float32).reshape(8, 251)[None]
    masks = random.random(maps.shape) < 0.3
    edges = np.append(np.arange(0, 1, 0.001), [1.0, 2.0, 3.0])
    background, foreground = (np.histogram(maps[masks == side], edges)[0] for side in (False, True))
    histograms = loc.score_histograms(maps, masks)
    np.testing.assert_array_equal(histograms, [background[:1001], foreground[:1001]])
    hits, misses = foreground[::-1].cumsum(), background[::-1].cumsum()
    precision, recall = hits[1:] / (hits + misses)[1:], hits / hits[-1]
    assert loc.pxap(histograms) == pytest.approx((precision * np.diff(recall)).sum(), abs=1e-12)


def test_pointing_and_energy_by_hand():
    maps = np.array([[[1, 0], [0, 3]], [[2, 2], [2, 2]], [[0, 0], [0, 0]]], np.float32)
    masks = np.array([[[1, 0], [0, 0]], [[1, 0], [0, 0]], [[1, 1], [0, 0]]], bool)
    np.testing.assert_allclose(loc.pointing(maps, masks), [0, 0.25, 0.5])
    np.testing.assert_allclose(loc.energy(maps, masks), [0.25, 0.25, np.nan])
    np.testing.assert_allclose(loc.pointing(maps, ~masks), [1, 0.75, 0.5])
