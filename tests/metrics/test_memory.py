"""What grows with the number of images is no array at full image size: measured with few images and with many."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ala.config import load
from ala.contracts.maps import Maps
from ala.data.image_cache import ImageCache, subset_indices
from ala.explainers import refine
from ala.metrics import error_rows, fixes, iou
from ala.metrics.localisation import Localisation
from ala.metrics.scoring import Evaluated, Scoring, val_tau

IMAGE_SIZE, GRID, FEW, MANY = 96, 6, 40, 240
SETTINGS = load(Path("params.yaml"))
METRICS = SETTINGS.active.metrics.model_copy(update={"images_per_class": None, "box_step": 0.25})
#: Bytes that an image may add: scores, ids, its map on the grid. One boolean array at full size would add 9,216.
EACH = 4_000


@pytest.fixture
def image_cache_of(tmp_path: Path) -> Callable[[int], ImageCache]:
    """An image cache of n images on the disk, as `ImageCache.open` gives it: half of them of each of two classes."""

    def make(n: int) -> ImageCache:
        rng = np.random.default_rng(0)
        parts = {"images": (n, IMAGE_SIZE, IMAGE_SIZE, 3), "masks": (n, IMAGE_SIZE, IMAGE_SIZE)}
        arrays: dict[str, Any] = {}
        for part, shape in parts.items():
            array = np.memmap(tmp_path / f"{part}-{n}", np.uint8, "w+", shape=shape)
            for image in array:
                image[:] = rng.integers(0, 256, shape[1:], dtype=np.uint8)
            arrays[part] = array
        boxes = np.tile(np.array([8, 8, 60, 40], np.float32), (n, 1))
        return ImageCache(IMAGE_SIZE, "test", ["a", "b"], np.arange(1, n + 1), np.arange(n) % 2, boxes=boxes, **arrays)

    return make


def maps_of(image_cache: ImageCache) -> Maps:
    importance = np.random.default_rng(1).random((len(image_cache), GRID, GRID), np.float32)
    return Maps(image_cache.image_ids, importance, "mine", "", np.full(len(image_cache), -1))


def followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Insertion and deletion that look at every map, one after the other, and use no model."""

    def curves(model: Any, images: Any, indices: np.ndarray, maps: Any, *_: Any, **__: Any) -> Any:
        seen = np.array([float(maps[at : at + 1].mean()) for at in range(len(indices))])
        return SimpleNamespace(insertion=np.stack([seen, seen], axis=1), deletion=np.zeros((len(indices), 2)))

    monkeypatch.setattr(fixes, "insertion_deletion", curves)


def scoring_of(image_cache: ImageCache) -> Scoring:
    return Scoring(maps_of(image_cache), image_cache, 127, METRICS, tau=0.5)


def localised(image_cache: ImageCache) -> Any:
    return Localisation().measure(scoring_of(image_cache), np.arange(len(image_cache)))


def fixed(image_cache: ImageCache) -> Any:
    # type: ignore[arg-type]
    evaluated_model = Evaluated("toy", lambda x: x, image_cache, np.eye(2)[image_cache.labels], "cpu")
    every = np.arange(len(image_cache))
    overlaps = fixes.overlaps(refine.largest, maps_of(image_cache), image_cache, every, 127)
    subset = subset_indices(image_cache, METRICS.images_per_class, METRICS.subset_seed)
    areas = fixes.curve_areas(refine.largest, maps_of(image_cache), image_cache, subset, evaluated_model, METRICS)
    return fixes.fix_rows("largest", 0, image_cache, overlaps, subset, areas)


def threshold(image_cache: ImageCache) -> Any:
    return error_rows.val_tau(maps_of(image_cache), image_cache, 127), val_tau(maps_of(image_cache), image_cache, 127)


def overlaps(image_cache: ImageCache) -> Any:
    return iou.Iou().measure(scoring_of(image_cache), np.arange(len(image_cache)))


def mean_std(image_cache: ImageCache) -> Any:
    return iou.mean_std_ious(
        maps_of(image_cache).importance, lambda indices: image_cache.foreground(indices), IMAGE_SIZE
    )


WORK = {work.__name__: work for work in (localised, fixed, threshold, overlaps, mean_std)}


def peak(work: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def eight_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iou, "_PIXELS_AT_ONCE", 8 * IMAGE_SIZE**2, raising=False)


@pytest.mark.parametrize("name", WORK)
def test_many_images_take_hardly_more_memory_than_few(
    name: str, image_cache_of: Callable[[int], ImageCache], eight_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed(monkeypatch)
    few, many = image_cache_of(FEW), image_cache_of(MANY)
    WORK[name](few)  # what is imported and kept on the first call
    grown = peak(lambda: WORK[name](many)) - peak(lambda: WORK[name](few))
    assert grown < (MANY - FEW) * EACH


def test_areas_too(image_cache_of: Callable[[int], ImageCache], eight_at_once: None) -> None:
    from ala.report.gather import attended

    few, many = (maps_of(image_cache_of(count)) for count in (FEW, MANY))
    attended(few, IMAGE_SIZE)
    assert peak(lambda: attended(many, IMAGE_SIZE)) - peak(lambda: attended(few, IMAGE_SIZE)) < (MANY - FEW) * EACH
    whole = iou.at_size(few, few.image_ids, IMAGE_SIZE)
    np.testing.assert_array_equal(attended(few, IMAGE_SIZE), (whole > 0.5).mean(axis=(1, 2)))


@pytest.mark.parametrize("name", WORK)
def test_parts_give_what_the_whole_gives(
    name: str, image_cache_of: Callable[[int], ImageCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    followed(monkeypatch)
    image_cache, found = image_cache_of(FEW), {}
    for at_once in (1, 7, FEW):
        monkeypatch.setattr(iou, "_PIXELS_AT_ONCE", at_once * IMAGE_SIZE**2)
        found[at_once] = WORK[name](image_cache)
    for at_once in (1, 7):
        np.testing.assert_equal(values(found[at_once]), values(found[FEW]))


def values(found: Any) -> Any:
    """Frames as lists, for a comparison; histograms of the parts are summed, as the metric does in the end."""
    if isinstance(found, dict) and "_histograms" in found:
        found = {**found, "_histograms": found["_histograms"].sum(axis=0)}
    return found.to_dict("list") if hasattr(found, "to_dict") else found
