"""IoU: by hand, and the vectorised rules against one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.filters import threshold_otsu

from ala.contracts.maps import Maps
from ala.metrics import iou


def random_maps(n: int = 6, image_size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    smooth = random.random((n, image_size, image_size)).cumsum(axis=1).cumsum(axis=2)
    maps = iou.min_max((smooth % 7).astype(np.float32))
    return maps, random.random((n, image_size, image_size)) > 0.6


def test_iou_by_hand() -> None:
    truth = np.array([[[1, 1], [0, 0]]] * 4, bool)
    predictions = np.array([[[1, 1], [0, 0]], [[1, 0], [1, 0]], [[0, 0], [1, 1]], [[0, 0], [0, 0]]], bool)
    np.testing.assert_allclose(iou.iou(predictions, truth), [1, 1 / 3, 0, 0])


def test_min_max() -> None:
    maps = np.array([[[2.0, 4.0], [3.0, 2.0]], [[5.0, 5.0], [5.0, 5.0]]], np.float32)
    np.testing.assert_allclose(iou.min_max(maps), [[[0, 1], [0.5, 0]], [[0, 0], [0, 0]]])


def test_mean_std_by_hand() -> None:
    # Mean 0.25, standard deviation sqrt(3/16) = .433: above .683 is the one pixel; at f >= .5 nothing is.
    maps = np.array([[[0, 0], [0, 1]], [[0, 0], [1, 1]], [[0, 0], [0, 0]]], np.float32)
    np.testing.assert_array_equal(iou.predict(maps, "mean_std").sum(axis=(1, 2)), [1, 0, 0])


@given(arrays(np.float32, (1, 5, 5), elements=st.floats(0, 1, width=32)), st.floats(0.1, 10), st.floats(-5, 5))
@settings(deadline=None)
def test_mean_std_does_not_depend_on_scale(maps: np.ndarray, scale: float, shift: float) -> None:
    exact = maps.astype(np.float64)
    margin = np.abs(exact - exact.mean() - exact.std()).min()
    if margin > 1e-4:  # away from the threshold, where rounding decides
        moved = (exact * scale + shift).astype(np.float32)
        np.testing.assert_array_equal(iou.predict(maps, "mean_std"), iou.predict(moved, "mean_std"))


@given(arrays(np.uint8, (3, 6, 6), elements=st.integers(0, 255)))
@settings(deadline=None)
def test_otsu_equals_scikit_image(levels: np.ndarray) -> None:
    found = iou.otsu(levels)
    for one, threshold in zip(levels, found, strict=True):
        if one.min() == one.max():
            assert np.isnan(threshold)
        else:
            expected = threshold_otsu(one)
            # Equal variances are equal here; scikit-image's rounding may prefer a later one.
            assert threshold == expected or between(one, threshold) == pytest.approx(between(one, expected))


def between(levels: np.ndarray, threshold: float) -> float:
    low, high = levels[levels <= threshold].astype(float), levels[levels > threshold].astype(float)
    return len(low) * len(high) * (low.mean() - high.mean()) ** 2


def test_rules_equal_one_image_at_a_time() -> None:
    maps, _ = random_maps()
    for one, *found in zip(maps, *(iou.predict(maps, rule, 0.37) for rule in iou.RULES), strict=True):
        np.testing.assert_array_equal(found[0], one > one.astype(float).mean() + one.astype(float).std())
        np.testing.assert_array_equal(found[1], one > 0.5)
        levels = np.rint(one.astype(float) * 255).astype(np.uint8)
        np.testing.assert_array_equal(found[2], levels > threshold_otsu(levels))
        np.testing.assert_array_equal(found[3], one > np.float32(0.37))


def test_a_constant_map_predicts_nothing() -> None:
    maps = iou.min_max(np.full((1, 4, 4), 3.0, np.float32))
    for rule in iou.RULES:
        assert not iou.predict(maps, rule, 0.0).any()
    with pytest.raises(ValueError, match="best_tau"):
        iou.predict(maps, "val")
    with pytest.raises(ValueError, match="mean_std, fixed, otsu, val"):
        iou.predict(maps, "mean")


def test_iou_by_tau_equals_every_threshold_tried() -> None:
    maps, truth = random_maps()
    maps[0] = np.round(maps[0], 2)  # values on the taus themselves
    expected = np.stack([iou.iou(iou.predict(maps, "val", tau), truth) for tau in iou.TAUS], axis=1)
    np.testing.assert_allclose(iou.iou_by_tau(maps, truth), expected, rtol=0, atol=1e-12)


def test_best_tau_is_the_smallest_best_by_brute_force() -> None:
    maps, truth = random_maps(8, 12)
    truth = maps + 0.2 * truth > 0.66
    means = [iou.iou(maps > np.float32(tau), truth).mean() for tau in np.arange(101) / 100]
    assert iou.best_tau(iou.iou_by_tau(maps, truth)) == pytest.approx(np.argmax(means) / 100)
    flat = np.zeros((2, 101))
    flat[:, [30, 60]] = 0.5
    assert iou.best_tau(flat) == pytest.approx(0.3)


def test_at_size_scales_all_but_calibrated_and_binary_maps() -> None:
    ids, targets = np.array([3, 5]), np.full(2, -1)
    values = np.array([[[0.2, 0.4], [0.3, 0.2]], [[0.5, 0.6], [0.7, 0.9]]], np.float32)
    plain = Maps(ids, values, "a", "", targets)
    np.testing.assert_allclose(iou.at_size(plain, ids[::-1], 2)[1], [[0, 1], [0.5, 0]], atol=1e-6)
    large = iou.at_size(plain, ids, 4)
    np.testing.assert_allclose([large.min(), large.max()], [0, 1])
    calibrated = Maps(ids, values, "a", "", targets, calibrated=True)
    np.testing.assert_array_equal(iou.at_size(calibrated, ids, 2), values)
    binary = Maps(ids, np.ones((1, 1, 1), np.float32), "a", "", targets, binary=True)
    np.testing.assert_array_equal(iou.at_size(binary, ids, 4), np.ones((2, 4, 4)))
