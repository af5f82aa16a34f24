"""The edge fix against a version that fills regions pixel by pixel and looks for neighbours by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from ala.config import load
from ala.explainers.edge import attended, edges, grey, regions, threshold
from tests.imports import ROOT

EDGE = load(ROOT / "params.yaml").profiles["mini"].edge

IMAGE_SIZE = 24


def slow_parts(between: np.ndarray) -> list[set[tuple[int, int]]]:
    """4-connected components, by flooding from every pixel that is not yet wet."""
    dry = {(int(y), int(x)) for y, x in np.argwhere(between)}
    parts = []
    while dry:
        todo, part = [dry.pop()], set()
        while todo:
            y, x = todo.pop()
            part.add((y, x))
            for neighbour in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if neighbour in dry:
                    dry.remove(neighbour)
                    todo.append(neighbour)
        parts.append(part)
    return parts


def squared(a: tuple[int, int], part: set[tuple[int, int]]) -> int:
    return min((a[0] - y) ** 2 + (a[1] - x) ** 2 for y, x in part)


def square(low: int = 60, high: int = 200, noise: float = 0, seed: int = 0) -> np.ndarray:
    """A bright square at rows and columns 8..16 of a grey image."""
    image = np.full((IMAGE_SIZE, IMAGE_SIZE), float(low))
    image[8:16, 8:16] = high
    return np.clip(image + noise * np.random.default_rng(seed).normal(size=image.shape), 0, 255)


@pytest.mark.parametrize("seed", range(6))
def test_every_pixel_belongs_to_the_nearest_large_region(seed: int) -> None:
    random = np.random.default_rng(seed)
    between = random.random((IMAGE_SIZE, IMAGE_SIZE)) < random.uniform(0.4, 0.9)
    tiny = 0.01
    owner = regions(between, tiny)
    large = [part for part in slow_parts(between) if len(part) >= tiny * IMAGE_SIZE**2]
    assert owner.max() + 1 == len(large)
    names = [{int(owner[pixel]) for pixel in part} for part in large]
    assert all(len(name) == 1 for name in names)  # a region is not divided
    by_name = {name.pop(): part for name, part in zip(names, large, strict=True)}
    assert len(by_name) == len(large)  # nor are two of them one
    for pixel in np.ndindex(IMAGE_SIZE, IMAGE_SIZE):
        nearest = min(squared(pixel, part) for part in large)
        assert squared(pixel, by_name[int(owner[pixel])]) == nearest  # several may be equally near


def test_where_no_region_is_left_the_image_is_one() -> None:
    assert (regions(np.zeros((4, 4), bool), 0.001) == 0).all()
    assert (regions(np.eye(4, dtype=bool), 0.5) == 0).all()


@pytest.mark.parametrize("kappa", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("seed", range(4))
def test_regions_stay_by_their_mean(kappa: float, seed: int) -> None:
    settings = EDGE.model_copy(update={"tiny": 0.01})
    image = square(noise=25, seed=seed)
    importance = np.random.default_rng(seed).random((IMAGE_SIZE, IMAGE_SIZE)).astype(np.float32) ** 2
    importance[9:15, 9:15] += 1
    between = ~edges(image, settings)
    owner = regions(between, settings.tiny)
    limit = kappa * (importance.mean(dtype=float) + importance.std(dtype=float))
    expected = np.zeros((IMAGE_SIZE, IMAGE_SIZE), bool)
    for name in range(owner.max() + 1):
        mine = owner == name
        expected[mine] = importance[mine & between].mean(dtype=float) >= limit
    np.testing.assert_array_equal(attended(importance, image, kappa, settings), expected)


def test_a_closed_contour_parts_object_and_background() -> None:
    found = edges(square(), EDGE)
    owner = regions(~found, 0.001)
    assert owner.max() == 1
    inside, outside = owner[12, 12], owner[1, 1]
    assert inside != outside
    # The border runs within a pixel of the square's.
    assert (owner[9:15, 9:15] == inside).all()
    assert (owner == inside).sum() <= 10 * 10
    assert found[7:17, 7:9].any()
    assert not found[11:13, 11:13].any()


def test_thresholds_follow_the_median() -> None:
    """The same contrast is an edge in a dark image and none in a bright one: the median is 10 or 200 times 1.33."""
    assert edges(square(10, 40), EDGE).any()
    assert not edges(square(200, 230), EDGE).any()
    assert edges(square(200, 230), EDGE.model_copy(update={"low": 0.1, "high": 0.2})).any()


def test_edges_grow_by_the_square() -> None:
    thin, thick = (
        edges(square(), EDGE.model_copy(update={"dilate": 1})),
        edges(square(), EDGE.model_copy(update={"dilate": 3})),
    )
    grown = np.zeros_like(thin)
    for y, x in np.argwhere(thin):
        grown[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = True
    np.testing.assert_array_equal(thick, grown)


def test_attention_on_the_background_is_removed_and_nothing_is_added() -> None:
    importance = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.float32)
    importance[8:16, 8:16] = 1
    importance[0:4, 0:6] = 0.9  # over-attention in a corner
    stays = attended(importance, square(), 1.0, EDGE)
    assert stays[9:15, 9:15].all()
    assert not stays[0:4, 0:6].any()


def test_an_image_without_edges_is_one_region_below_its_own_threshold() -> None:
    importance = np.random.default_rng(0).random((IMAGE_SIZE, IMAGE_SIZE)).astype(np.float32)
    flat = np.full((IMAGE_SIZE, IMAGE_SIZE), 90.0)
    assert not attended(importance, flat, 1.0, EDGE).any()
    assert attended(importance, flat, 0.5, EDGE).all()


def test_grey_is_pillows() -> None:
    from PIL import Image

    images = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    pillow = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])
    np.testing.assert_allclose(grey(images), pillow, atol=0.51)


def test_threshold_is_that_of_the_main_rule() -> None:
    from ala.metrics.iou import predict

    maps = np.random.default_rng(0).random((5, 9, 9)).astype(np.float32)
    np.testing.assert_array_equal(maps > threshold(maps), predict(maps, "mean_std"))
