"""Baseline maps have the values that their definitions give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ala.explainers.box import Box
from ala.explainers.center import Center
from ala.explainers.full import Full
from ala.explainers.noise import Noise

IDS = np.array([11, 4, 7])
NO_TARGETS = torch.full((3,), -1)


def images(size: int, n: int = 3) -> torch.Tensor:
    return torch.zeros(n, 3, size, size)


def box(boxes: np.ndarray, size: int) -> np.ndarray:
    return Box().explain(images(size, len(boxes)), NO_TARGETS, np.asarray(boxes)).numpy()


def test_full_is_one_map_of_ones_for_all() -> None:
    assert Full.binary
    assert Full.shared
    assert Full().explain(images(8), NO_TARGETS).tolist() == [[[1]]]


@pytest.mark.parametrize("size", [15, 16])
def test_center_is_symmetric_and_falls_off(size: int) -> None:
    one = Center().explain(images(size), NO_TARGETS)[0].numpy()
    np.testing.assert_allclose(one, one[::-1], rtol=1e-6)
    np.testing.assert_allclose(one, one.T, rtol=1e-6)
    assert one[size // 2, size // 2] == one.max()
    assert (np.diff(one[size // 2, size // 2 :]) < 0).all()
    # A quarter of the image size from the middle is one standard deviation.
    if size == 16:
        assert one[8, 12] / one[8, 8] == pytest.approx(np.exp((0.5**2 - 4.5**2) / (2 * 4**2)))


def noise(ids: np.ndarray, seed: int) -> np.ndarray:
    return Noise(seed, 10).explain(images(80, len(ids)), NO_TARGETS, ids).numpy()


def test_noise_depends_on_seed_and_image_only() -> None:
    np.testing.assert_array_equal(noise(IDS, 0)[::-1], noise(IDS[::-1], 0))
    assert (noise(IDS, 0) != noise(IDS, 1)).any()
    assert (noise(IDS, 0)[0] != noise(IDS, 0)[1]).any()
    many = noise(np.arange(200), 0)
    assert many.min() >= 0
    assert many.max() < 1
    assert many.mean() == pytest.approx(0.5, abs=0.01)
    assert many.std() == pytest.approx(12**-0.5, abs=0.01)


def test_box_by_hand() -> None:
    maps = box(np.array([[1, 2, 2, 1], [0.4, 0.6, 1.2, 2.0], [3.2, 0, 0.1, 4]]), 4)
    expected = np.zeros((3, 4, 4))
    expected[0, 2, 1:3] = 1
    expected[1, 1:3, 0:2] = 1  # pixel centres 1.5 and 2.5 in y from 0.6 to 2.6; 0.5 and 1.5 in x from 0.4 to 1.6
    expected[2, :, 3] = 1  # covers no centre: the column it lies in
    np.testing.assert_array_equal(maps, expected)


@given(
    x=st.floats(-5, 25), y=st.floats(-5, 25), width=st.floats(0.01, 30), height=st.floats(0.01, 30)
)  # fmt: skip
def test_a_box_is_never_empty_and_close_to_its_area(x: float, y: float, width: float, height: float) -> None:
    one = box(np.array([[x, y, width, height]]), 20)[0]
    assert one.any()
    across = max(0.0, min(x + width, 20) - max(x, 0))
    down = max(0.0, min(y + height, 20) - max(y, 0))
    rows, columns = one.any(1).sum(), one.any(0).sum()
    assert one.sum() == rows * columns  # a rectangle
    assert abs(rows - down) <= 1
    assert abs(columns - across) <= 1
