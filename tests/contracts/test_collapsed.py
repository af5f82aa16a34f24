from __future__ import annotations

import numpy as np
import pytest

from ala.contracts.collapsed import collapsed, collapsed_of, warning
from ala.contracts.maps import Maps


def slow(importance: np.ndarray) -> tuple[list[bool], list[bool]]:
    """The definition, map by map, in exact steps."""
    constant, peak = [], []
    for one in importance.astype(np.float64):
        reach = one.max() - one.min()
        constant.append(bool(reach <= 1e-6 * abs(one).max()))
        peak.append(not constant[-1] and bool(reach >= 0.9 * (one - one.min()).sum()))
    return constant, peak


@pytest.fixture
def importance() -> np.ndarray:
    random = np.random.default_rng(0)
    maps = random.random((6, 5, 7)).astype(np.float32)
    maps[1] = 0.3
    maps[2] = 0.0
    maps[3] = -2.0
    maps[3, 1, 1] = 5.0
    maps[4] = 1.0 + 1e-9 * maps[4]  # equal in float32
    return maps


def test_as_the_definition_says(importance: np.ndarray) -> None:
    found = collapsed(importance)
    assert (found["constant"].tolist(), found["one_pixel"].tolist()) == slow(importance)
    assert found["constant"].tolist() == [False, True, True, False, True, False]
    assert found["one_pixel"].tolist() == [False, False, False, True, False, False]


def test_nine_tenths_are_the_bound() -> None:
    maps = np.zeros((2, 1, 10), np.float32)
    maps[:, 0, 0] = 9.1, 8.9
    maps[:, 0, 1] = 1.0
    assert collapsed(maps)["one_pixel"].tolist() == [True, False]


def test_the_warning_names_kinds_numbers_and_images(importance: np.ndarray) -> None:
    maps = Maps(np.arange(11, 17), importance, "abn", "abn", np.full(6, -1))
    said = warning(maps, "abn, seed 0, test images")
    assert said is not None
    assert said.startswith("abn, seed 0, test images: 3 constant and 1 one pixel of 6 maps have collapsed")
    assert "(images 12, 13, 14, 15)" in said
    sound = Maps(np.arange(2), importance[[0, 5]], "abn", "abn", np.full(2, -1))
    assert warning(sound, "abn") is None


def test_masks_never_count() -> None:
    full = Maps(np.arange(3), np.ones((1, 1, 1), np.float32), "full", "", np.full(3, -1), binary=True)
    assert not any(values.any() for values in collapsed_of(full).values())
