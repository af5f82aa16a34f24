"""What grows with the number of images is no array at full image size: measured with few images and with many."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ala.config import load
from ala.contracts.maps import Maps
from ala.data.store import Store
from ala.explainers import refine
from ala.metrics import error_rows, fixes, iou, protocols, score
from ala.metrics.score import Probe, Truth

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


def localised(store: Store) -> Any:
    return protocols.localise(maps_of(store), Truth(store, store, 127), METRICS, 0, 0.5)


def fixed(store: Store) -> Any:
    probe = Probe(lambda x: x, store, np.eye(2)[store.labels], "cpu", {})  # type: ignore[arg-type]
    return fixes.score_fix("largest", refine.largest, maps_of(store), store, 127, probe, METRICS, 0)


def threshold(store: Store) -> Any:
    return error_rows.val_tau(maps_of(store), store, 127), score._tau(maps_of(store), Truth(store, store, 127))


def overlaps(store: Store) -> Any:
    return score._overlaps(maps_of(store), Truth(store, store, 127), 0.5)


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


def test_areas_and_taps_too(
    store_of: Callable[[int], Store], eight_at_once: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ala.report.gather import attended as areas
    from stages.layers import weigh_taps

    settings = SETTINGS.model_copy(update={"seeds": [0]})
    profile = settings.active.model_copy(update={"data": settings.active.data.model_copy(update={"input_size": SIDE})})
    settings = settings.model_copy(update={"profiles": {**settings.profiles, settings.profile: profile}})

    def attended(store: Store) -> Any:
        return areas(maps_of(store), SIDE)

    def weighed(store: Store) -> Any:
        importance = maps_of(store).importance
        patch = pytest.MonkeyPatch()
        with patch.context() as patched:
            patched.setattr("ala.explainers.taps.side_branch", lambda _: SimpleNamespace(fusion_map={0: 0, 2: 1}))
            patched.setattr("ala.explainers.taps.tap_shares", lambda *_: {tap: np.ones(len(store)) for tap in (0, 2)})
            patched.setattr("ala.explainers.taps.without_tap", lambda *_: nullcontext())
            patched.setattr("ala.explainers.attention.explain_photos", lambda *_: importance)
            patched.setattr("ala.perturbation.predict", lambda *_: np.eye(2)[store.labels])
            model: Any = SimpleNamespace(explain=None, preprocessing=None)
            return weigh_taps(model, Truth(store, store, 127), settings.active, 0, "cpu")  # type: ignore[arg-type]

    few, many = store_of(FEW), store_of(MANY)
    for work in (attended, weighed):
        work(few)
        grown = peak(lambda work=work: work(many)) - peak(lambda work=work: work(few))
        assert grown < (MANY - FEW) * EACH, work.__name__
    whole = iou.at_size(maps_of(few), few.image_ids, SIDE)
    np.testing.assert_array_equal(attended(few), (whole > 0.5).mean(axis=(1, 2)))
    plain = iou.iou(iou.predict(whole, "mean_std"), few.foreground(slice(None))).mean()
    assert weighed(few)["miou_without"].tolist() == [plain, plain]


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
    """Frames as lists, and what holds them, for a comparison."""
    if isinstance(found, protocols.Localised):
        return found.whole, found.rows.to_dict("list")
    return found.to_dict("list") if hasattr(found, "to_dict") else found


def test_boxes_of_all_images_lie_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    from ala.explainers.trivial import box

    boxes = np.tile(np.array([8, 8, 60, 40], np.float32), (30, 1))
    small = box(np.arange(30), boxes, SIDE)
    monkeypatch.setattr("ala.contracts.maps.IN_MEMORY", 10 * SIDE**2)
    large = box(np.arange(30), boxes, SIDE)
    assert isinstance(large.importance, np.memmap)
    np.testing.assert_array_equal(large.importance, small.importance)
