"""Localisation metrics against loops over pixels, boxes and thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label, regionprops

from ala.explain.trivial import box
from ala.metrics import localisation as loc


@pytest.fixture
def photos() -> tuple[np.ndarray, np.ndarray]:
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


def slow_box_ious(values: np.ndarray, mask: np.ndarray, tau: float) -> tuple[float, float]:
    """scikit-image's regions; IoU by counting pixels of painted boxes."""
    levels = (values * 255).astype(np.uint8)
    regions = regionprops(label(levels > int(tau * levels.max()), connectivity=2))
    truth = np.zeros_like(mask)
    ys, xs = np.nonzero(mask)
    truth[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
    scores = []
    for region in regions:
        painted = np.zeros_like(mask)
        y0, x0, y1, x1 = region.bbox
        painted[y0:y1, x0:x1] = True
        scores.append((painted & truth).sum() / (painted | truth).sum())
    if not regions:
        return 0.0, 0.0
    return scores[int(np.argmax([region.area for region in regions]))], max(scores)


def test_boxes_against_painted_ones(photos):
    maps, masks = photos
    largest, best = loc.box_scores(maps, boxes_of(masks), 0.05)
    for n in range(6):
        for place, tau in enumerate(np.arange(0, 1, 0.05)):
            assert (largest[n, place], best[n, place]) == pytest.approx(slow_box_ious(maps[n], masks[n], tau))
    shares = [[np.mean([largest[n, t] >= 0.5 for n in range(6)]) for t in range(20)]]
    assert loc.max_box_acc(largest) == max(shares[0])
    levels = [max(np.mean([best[n, t] >= level for n in range(6)]) for t in range(20)) for level in (0.3, 0.5, 0.7)]
    assert loc.max_box_acc_v2(best) == pytest.approx(sum(levels) / 3)
    assert 0 < loc.max_box_acc(largest) <= 1


def test_a_map_equal_to_its_box_is_perfect():
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 2:5, 3:8] = True
    largest, best = loc.box_scores(mask.astype(np.float32), boxes_of(mask), 0.1)
    assert loc.max_box_acc(largest) == loc.max_box_acc_v2(best) == 1
    nothing, _ = loc.box_scores(np.zeros((1, 9, 9), np.float32), boxes_of(mask), 0.1)
    assert nothing.max() == 0


def test_a_listed_box_holds_the_pixels_whose_centre_it_covers():
    boxes = np.array([[3, 2, 5, 3], [0.5, 0.6, 1.0, 1.0], [4.6, 0.1, 0.2, 20], [-3, 7.2, 5, 9]])
    np.testing.assert_array_equal(
        loc.inclusive(boxes, 9), [[3, 2, 7, 4], [0, 1, 0, 1], [4, 0, 4, 8], [0, 7, 1, 8]]
    )  # thinner than a pixel; beyond the border


def test_the_oracle_map_finds_every_listed_box():
    """The map `box` paints the same pixels, whatever the fractions of the box."""
    boxes = np.random.default_rng(0).uniform(0.3, 9, (40, 4))
    maps = box(np.arange(40), boxes, 16).importance
    largest, best = loc.box_scores(maps, boxes, 0.5)
    assert (largest == 1).all()
    assert (best == 1).all()


def test_pxap_against_every_threshold(photos):
    maps, masks = photos
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


def test_pointing_and_energy_by_hand():
    maps = np.array([[[1, 0], [0, 3]], [[2, 2], [2, 2]], [[0, 0], [0, 0]]], np.float32)
    masks = np.array([[[1, 0], [0, 0]], [[1, 0], [0, 0]], [[1, 1], [0, 0]]], bool)
    np.testing.assert_allclose(loc.pointing(maps, masks), [0, 0.25, 0.5])
    np.testing.assert_allclose(loc.energy(maps, masks), [0.25, 0.25, np.nan])
    np.testing.assert_allclose(loc.pointing(maps, ~masks), [1, 0.75, 0.5])
