"""The localisation metrics at wsolevaluation's 224 pixels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.wsol import IMAGE_SIZE, enlarged, measured, page_of


def test_enlarged_maps_are_scaled_or_clipped() -> None:
    maps = np.random.default_rng(0).random((2, 7, 7)).astype(np.float32) * 4
    scaled = enlarged(maps, scaled=True)
    assert scaled.shape == (2, IMAGE_SIZE, IMAGE_SIZE)
    assert scaled.min(axis=(1, 2)).tolist() == [0, 0]
    assert scaled.max(axis=(1, 2)).tolist() == [1, 1]
    ones = enlarged(np.ones((1, 3, 3), np.float32), scaled=False)
    np.testing.assert_allclose(ones, 1, atol=1e-6)


def test_a_perfect_map_is_perfect_in_both_sizes() -> None:
    mask = np.zeros((1, 80, 80), bool)
    mask[0, 20:60, 10:50] = True
    boxes = np.array([[10, 20, 40, 40]], np.float32)
    here = measured(mask.astype(np.float32), mask, boxes, 0.1)
    assert here == {"maxboxacc": 1, "maxboxaccv2": 1, "pxap": 1}
    large = enlarged(mask.astype(np.float32), scaled=True)
    assert measured(large, large > 0.5, boxes * (IMAGE_SIZE / 80), 0.1)["maxboxaccv2"] == 1


def test_the_page_has_mean_and_spread_over_seeds() -> None:
    lines = [
        {"method": "ala", "seed": seed, "way": way, "maxboxacc": value, "maxboxaccv2": 0.5, "pxap": 0.25}
        for way, values in {"here": (0.1, 0.3), "at 224": (0.2, 0.2)}.items()
        for seed, value in enumerate(values)
    ]
    text = page_of(pd.DataFrame(lines))
    assert "0.200 ± 0.141" in text
    assert "0.200 ± 0.000" in text
    assert text.count("\n") == 2
    with pytest.raises(KeyError):
        page_of(pd.DataFrame(lines).drop(columns="pxap"))
