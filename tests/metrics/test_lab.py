"""The laboratory's protocol against one forward pass after another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate

from ala.metrics.insertion_deletion import blur_kernel, blurred
from ala.metrics.lab import lab_curves, quantised, thresholds

CPU = torch.device("cpu")


def slow(
    model: Any, image: torch.Tensor, importance: np.ndarray, label: int, points: int, substrate: torch.Tensor
) -> Any:
    """METHODS 5.2 as it is written."""
    n = importance.size
    step = math.ceil(n / points)
    curves: dict[str, list[float]] = {"insertion": [], "deletion": []}
    descending = sorted(importance.ravel().tolist(), reverse=True)
    for k in range(1, math.ceil(n / step) + 1):
        mask = torch.as_tensor(importance >= descending[min(step * k, n - 1)])
        for name, shown in (("insertion", mask), ("deletion", ~mask)):
            with torch.no_grad():
                curves[name].append(model(torch.where(shown, image, substrate)[None])[0, label].item())
    return curves


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("substrate", ["zero", "blur"])
@pytest.mark.parametrize("points", [5, 144])
def test_curves_equal_the_slow_reference(
    toy_images: Any, small_net: Any, levels: Any, substrate: Any, points: int
) -> None:
    images, model, kernel = toy_images((4, 12)), small_net(12), blur_kernel(5, 2.0)
    indices, classes = np.array([2, 0, 3]), np.array([[1, 0], [2, 2], [0, 3]])
    maps = np.random.default_rng(1).integers(0, 20, (3, 12, 12)).astype(np.float32)  # ties
    found = lab_curves(model, images, indices, maps, classes, points=points, levels=levels, substrate=substrate,
                       kernel=kernel, batch=7, device=CPU, what="test")  # fmt: skip
    for place, index in enumerate(indices):
        image = model.preprocessing.normalise(images.images[index : index + 1])
        black = model.preprocessing.normalise(torch.zeros_like(images.images[index : index + 1]))[0]
        background = blurred(image, kernel)[0] if substrate == "blur" else black
        shown = maps[place] if levels is None else quantised(maps[place : place + 1], levels)[0]
        for which in range(2):
            expected = slow(model, image[0], shown, classes[place, which], points, background)
            np.testing.assert_allclose(found.insertion[place, which], expected["insertion"], atol=2e-6)
            np.testing.assert_allclose(found.deletion[place, which], expected["deletion"], atol=2e-6)
            insertion, _ = found.areas(which)
            k = len(expected["insertion"])
            by_scipy = integrate.trapezoid(expected["insertion"], np.linspace(0, 1, k))
            assert insertion[place] == pytest.approx(by_scipy, abs=2e-6)


def test_equal_masks_run_once(toy_images: Any, small_net: Any) -> None:
    maps = np.zeros((2, 12, 12), np.float32)
    maps[0, :3] = 1  # two levels: two masks; the constant map: one
    found = lab_curves(
        small_net(12), toy_images((2, 12)), np.arange(2), maps, np.zeros((2, 1), int), points=24, levels=None,
        substrate="zero", kernel=blur_kernel(3, 1.0), batch=4, device=CPU, what="test",
    )  # fmt: skip
    assert found.forwards == 2 * 2 + 2 * 1
    assert found.insertion.shape == (2, 1, 24)
    assert np.ptp(found.insertion[1]) == 0


def test_thresholds_by_hand() -> None:
    # 9 values, 4 points: step 3, ranks 3, 6, 8 of 9 8 7 6 5 4 3 2 1
    np.testing.assert_array_equal(thresholds(np.arange(1.0, 10).reshape(3, 3), 4), [6, 3, 1])
    assert len(thresholds(np.zeros((384, 384)), 48)) == 48  # the authors' 3,072 pixels per step


def test_three_levels_cut_at_half_of_the_range() -> None:
    maps = np.array([[[0.0, 4.9], [5.0, 10.0]]])
    np.testing.assert_array_equal(quantised(maps, 3), [[[0, 0], [0.5, 1]]])
    np.testing.assert_array_equal(quantised(maps * 7 - 3, 3), [[[0, 0], [0.5, 1]]])
    np.testing.assert_array_equal(quantised(np.full((1, 2, 2), 3.0), 3), np.zeros((1, 2, 2)))
