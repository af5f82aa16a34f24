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
from ala.data.store import Store, subset_rows
from ala.explainers import refine
from ala.metrics import error_rows, fixes, iou
from ala.metrics.localisation import Localisation
from ala.metrics.scoring import Evaluated, Scoring, val_tau

SIDE, GRID, FEW, MANY = 96, 6, 40, 240
SETTINGS = load(Path("params.yaml"))
METRICS = SETTINGS.active.metrics.model_copy(update={"images_per_class": None, "box_step": 0.25})
#: Bytes that an image may add: scores, ids, its map on the grid. One boolean array at full size would add 9,216.
EACH = 4_000


@pytest.fixture
def store_of(tmp_path: Path) -> Callable[[int], Store]:
    """A store of n images on the disk, as `Store.open` gives it: half of them of each of two classes."""

    def make(n: int) -> Store:
        rng = np.random.default_rng(0)
        parts = {"images": (n, SIDE, SIDE, 3), "masks": (n, SIDE, SIDE)}
        arrays: dict[str, Any] = {}
        for part, shape in parts.items():
            array = np.memmap(tmp_path / f"{part}-{n}", np.uint8, "w+", shape=shape)
            for image in array:
                image[:] = rng.integers(0, 256, shape[1:], dtype=np.uint8)
            arrays[part] = array
        boxes = np.tile(np.array([8, 8, 60, 40], np.float32), (n, 1))
        return Store(SIDE, "test", ["a", "b"], np.arange(1, n + 1), np.arange(n) % 2, boxes=boxes, **arrays)

    return make


def maps_of(store: Store) -> Maps:
    importance = np.random.default_rng(1).random((len(store), GRID, GRID), np.float32)
    return Maps(store.image_ids, importance, "mine", "", np.full(len(store), -1))


def followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Insertion and deletion that look at every map, one after the other, and ask no model."""

    def curves(model: Any, photos: Any, rows: np.ndarray, maps: Any, *_: Any, **__: Any) -> Any:
        seen = np.array([float(maps[at : at + 1].mean()) for at in range(len(rows))])
        return SimpleNamespace(insertion=np.stack([seen, seen], axis=1), deletion=np.zeros((len(rows), 2)))

    monkeypatch.setattr(fixes, "insertion_deletion", curves)


def scoring_of(store: Store) -> Scoring:
    return Scoring(maps_of(store), store, 127, METRICS, tau=0.5)


def localised(store: Store) -> Any:
    return Localisation().measure(scoring_of(store), np.arange(len(store)))


def fixed(store: Store) -> Any:
    probe = Evaluated("toy", lambda x: x, store, np.eye(2)[store.labels], "cpu")  # type: ignore[arg-type]
    every = np.arange(len(store))
    overlaps = fixes.overlaps(refine.largest, maps_of(store), store, every, 127)
    subset = subset_rows(store, METRICS.images_per_class, METRICS.subset_seed)
    areas = fixes.curve_areas(refine.largest, maps_of(store), store, subset, probe, METRICS)
    return fixes.fix_rows("largest", 0, store, overlaps, subset, areas)


def threshold(store: Store) -> Any:
    return error_rows.val_tau(maps_of(store), store, 127), val_tau(maps_of(store), store, 127)


def overlaps(store: Store) -> Any:
    return iou.Iou().measure(scoring_of(store), np.arange(len(store)))


def mean_std(store: Store) -> Any:
    return iou.mean_std_ious(maps_of(store).importance, lambda rows: store.foreground(rows), SIDE)


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
    monkeypatch.setattr(iou, "_PIXELS_AT_ONCE", 8 * SIDE**2, raising=False)


@pytest.mark.parametrize("name", WORK)
def test_many_images_take_hardly_more_memory_than_few(
    name: str, store_of: Callable[[int], Store], eight_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed(monkeypatch)
    few, many = store_of(FEW), store_of(MANY)
    WORK[name](few)  # what is imported and kept on the first call
    grown = peak(lambda: WORK[name](many)) - peak(lambda: WORK[name](few))
    assert grown < (MANY - FEW) * EACH


def test_areas_too(store_of: Callable[[int], Store], eight_at_once: None) -> None:
    from ala.report.gather import attended

    few, many = (maps_of(store_of(count)) for count in (FEW, MANY))
    attended(few, SIDE)
    assert peak(lambda: attended(many, SIDE)) - peak(lambda: attended(few, SIDE)) < (MANY - FEW) * EACH
    whole = iou.at_size(few, few.image_ids, SIDE)
    np.testing.assert_array_equal(attended(few, SIDE), (whole > 0.5).mean(axis=(1, 2)))


@pytest.mark.parametrize("name", WORK)
def test_parts_give_what_the_whole_gives(
    name: str, store_of: Callable[[int], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    followed(monkeypatch)
    store, found = store_of(FEW), {}
    for at_once in (1, 7, FEW):
        monkeypatch.setattr(iou, "_PIXELS_AT_ONCE", at_once * SIDE**2)
        found[at_once] = WORK[name](store)
    for at_once in (1, 7):
        np.testing.assert_equal(values(found[at_once]), values(found[FEW]))


def values(found: Any) -> Any:
    """Frames as lists, for a comparison; histograms of the parts are summed, as the metric does in the end."""
    if isinstance(found, dict) and "_histograms" in found:
        found = {**found, "_histograms": found["_histograms"].sum(axis=0)}
    return found.to_dict("list") if hasattr(found, "to_dict") else found
