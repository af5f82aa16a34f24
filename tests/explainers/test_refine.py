"""The fixes of finished maps: what they remove, where they cut, and the guided filter window by window."""

from __future__ import annotations

import numpy as np
import pytest

from ala.config import load
from ala.explainers.edge import threshold
from ala.explainers.refine import edge, guided, guided_filter, largest, original
from tests.imports import ROOT

EDGE = load(ROOT / "params.yaml").profiles["mini"].edge

IMAGE_SIZE = 20


@pytest.fixture
def images() -> np.ndarray:
    """A bright square on dark background, twice."""
    made = np.full((2, IMAGE_SIZE, IMAGE_SIZE, 3), 60, np.uint8)
    made[:, 6:14, 6:14] = 200
    return made


@pytest.fixture
def maps() -> np.ndarray:
    """One map high on the square and in a corner, one on the square and beside it in one piece."""
    made = np.random.default_rng(0).uniform(0, 0.05, (2, IMAGE_SIZE, IMAGE_SIZE)).astype(np.float32)
    made[:, 6:14, 6:14] += 0.8
    made[0, 0:3, 0:3] = 1
    made[1, 6:14, 14:17] += 0.7
    return made


def test_edge_cuts_at_the_threshold_of_the_original(maps, images) -> None:
    fixed = edge(maps, images, 1.0, EDGE)
    before = original(maps, images)
    np.testing.assert_array_equal(before.importance, maps)
    assert not (fixed.foreground & ~before.foreground).any()  # it only removes
    kept = fixed.importance > 0
    np.testing.assert_array_equal(fixed.importance[kept], maps[kept])
    np.testing.assert_array_equal(fixed.foreground, before.foreground & kept)
    assert fixed.foreground[:, 7:13, 7:13].all()
    assert not fixed.foreground[0, 0:3, 0:3].any()
    assert not fixed.foreground[1, 6:14, 16:].any()
    assert fixed.importance.dtype == np.float32


def test_largest_is_the_part_with_the_maximum_not_the_widest(maps, images) -> None:
    fixed = largest(maps, images)
    assert fixed.foreground[0].sum() == 9  # the corner holds the maximum
    assert fixed.foreground[0, 0:3, 0:3].all()
    np.testing.assert_array_equal(fixed.foreground[1], maps[1] > threshold(maps)[1])  # one part only
    assert ((fixed.importance > 0) == fixed.foreground).all()


def test_constant_maps_predict_nothing_under_any_fix(images) -> None:
    for level in (0.0, 0.25):
        constant = np.full((2, IMAGE_SIZE, IMAGE_SIZE), level, np.float32)
        np.testing.assert_array_equal(largest(constant, images).importance, constant)
        for fixed in (largest(constant, images), edge(constant, images, 1.0, EDGE), original(constant, images)):
            assert not fixed.foreground.any()
            assert np.isfinite(fixed.importance).all()


def slow_guided(importance: np.ndarray, guide: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """Equations 5, 6 and 8 of He et al., one window at a time."""
    height, width = guide.shape

    def window(y: int, x: int) -> tuple[slice, slice]:
        return slice(max(y - radius, 0), y + radius + 1), slice(max(x - radius, 0), x + radius + 1)

    slope, offset = np.zeros(guide.shape), np.zeros(guide.shape)
    for y, x in np.ndindex(height, width):
        here = window(y, x)
        i, p = guide[here], importance[here]
        slope[y, x] = ((i * p).mean() - i.mean() * p.mean()) / (i.var() + eps)
        offset[y, x] = p.mean() - slope[y, x] * i.mean()
    result = np.zeros(guide.shape)
    for y, x in np.ndindex(height, width):
        here = window(y, x)
        result[y, x] = slope[here].mean() * guide[y, x] + offset[here].mean()
    return result


@pytest.mark.parametrize(("radius", "eps"), [(1, 1e-2), (3, 1e-4), (12, 1.0)])
def test_guided_filter_is_that_of_the_paper(radius: int, eps: float) -> None:
    random = np.random.default_rng(radius)
    importance, guide = random.random((14, 14)), random.random((14, 14))
    np.testing.assert_allclose(
        guided_filter(importance, guide, radius, eps), slow_guided(importance, guide, radius, eps), atol=1e-9
    )


def test_guided_cuts_at_its_own_threshold(maps, images) -> None:
    fixed = guided(maps, images, 2, 1e-3)
    np.testing.assert_array_equal(fixed.foreground, fixed.importance > threshold(fixed.importance))
    blocky = np.full((1, IMAGE_SIZE, IMAGE_SIZE), 0.1, np.float32)
    blocky[0, 5:15, 5:15] = 1  # a pixel too wide on each side: the image's edge draws it in
    sharper = guided(blocky, images[:1], 4, 1e-4)
    truth = images[0, :, :, 0] > 100
    assert (sharper.foreground[0] ^ truth).sum() < (original(blocky, images[:1]).foreground[0] ^ truth).sum()
