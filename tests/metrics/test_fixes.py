"""Scores of fixes: what is chosen on validation, the same numbers as the metrics give, tables that are refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ala.config.schema import Engine, Metrics
from ala.contracts.maps import Maps
from ala.data.image_cache import ImageCache, subset_indices
from ala.metrics import errors, fix_tables, iou
from ala.metrics.error_rows import error_rows, val_tau
from ala.metrics.fixes import curve_areas, fix_rows, original_rows, overlaps
from ala.metrics.iou import chunks
from ala.metrics.scoring import Evaluated, Scored
from ala.utils.errors import UserError
from tests.metrics.scored import Truth, evaluated, table
from tests.metrics.scored import scored as score

CPU = torch.device("cpu")
ENGINE = Engine(precision="fp32", compile=False)
IMAGE_SIZE = 12
SETTINGS = Metrics(
    images_per_class=2,
    val_images_per_class=1,
    subset_seed=0,
    step=20,
    blur_kernel=3,
    blur_sigma=1.0,
    lab_points=5,
    box_step=0.1,
    batch=16,
)


@dataclass(frozen=True)
class Cut:
    """A fix with a prediction known beforehand: the map above a level."""

    importance: np.ndarray
    foreground: np.ndarray


def above(level: float) -> Any:
    return lambda maps, images: Cut(np.where(maps > level, maps, 0).astype(np.float32), maps > level)


def unchanged(maps: np.ndarray, images: np.ndarray) -> Cut:
    assert images.shape == (*maps.shape, 3)
    return Cut(maps, iou.predict(maps, "mean_std"))


def make_image_cache(split: str, n: int, first_id: int) -> ImageCache:
    random = np.random.default_rng(first_id)
    images = random.integers(0, 256, (n, IMAGE_SIZE, IMAGE_SIZE, 3)).astype(np.uint8)
    masks = np.zeros((n, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for row in range(n):
        y, x = random.integers(0, 6, 2)
        masks[row, y : y + 6, x : x + 6] = 102  # a minority's opinion around a majority's
        masks[row, y + 1 : y + 5, x + 1 : x + 5] = 255
    labels = np.arange(n) % 2
    return ImageCache(
        IMAGE_SIZE,
        split,
        ["a", "b"],
        np.arange(first_id, first_id + n),
        labels,
        images,
        masks,
        np.zeros((n, 4), np.float32),
    )


def make_maps(image_cache: ImageCache) -> Maps:
    noise = np.random.default_rng(1).random((len(image_cache), IMAGE_SIZE, IMAGE_SIZE))
    values = (0.7 * image_cache.foreground(slice(None)) + noise).astype(np.float32)
    return Maps(image_cache.image_ids, values, "aea-true-sbn-true", "toy", np.full(len(image_cache), -1))


@pytest.fixture(scope="module")
def val() -> ImageCache:
    return make_image_cache("val", 6, 1)


@pytest.fixture(scope="module")
def test() -> ImageCache:
    return make_image_cache("test", 8, 101)


@pytest.fixture
def evaluated_model(test: ImageCache, small_net: Any) -> Evaluated:
    return evaluated(small_net(IMAGE_SIZE, 2), test)


@pytest.fixture
def scored(val: ImageCache, test: ImageCache, evaluated_model: Evaluated) -> Scored:
    return score(make_maps(val), make_maps(test), Truth(val, test, 127), evaluated_model, SETTINGS, 3)


def rows_of(name: str, fix: Any, maps: Maps, image_cache: ImageCache, evaluated_model: Evaluated) -> pd.DataFrame:
    every, subset = (
        np.arange(len(image_cache)),
        subset_indices(image_cache, SETTINGS.images_per_class, SETTINGS.subset_seed),
    )
    areas = curve_areas(fix, maps, image_cache, subset, evaluated_model, SETTINGS)
    return fix_rows(name, 3, image_cache, overlaps(fix, maps, image_cache, every, 127), subset, areas)


def test_a_fix_that_changes_nothing_earns_what_the_map_earned(
    test: ImageCache, evaluated_model: Evaluated, scored: Scored
) -> None:
    rows = rows_of("same", unchanged, make_maps(test), test, evaluated_model)
    expected = original_rows(table(scored))
    assert expected["fix"].unique().tolist() == ["original"]
    pd.testing.assert_frame_equal(rows.drop(columns="fix"), expected.drop(columns="fix"), rtol=1e-6)
    subset = subset_indices(test, 2, 0)
    np.testing.assert_array_equal(np.flatnonzero(rows["insertion"].notna()), subset)


def test_a_fix_is_scored_by_its_own_prediction_and_map(test: ImageCache, evaluated_model: Evaluated) -> None:
    maps = make_maps(test)
    rows = rows_of("cut", above(0.6), maps, test, evaluated_model)
    shown, masks = iou.at_size(maps, test.image_ids, IMAGE_SIZE), test.foreground(slice(None))
    np.testing.assert_allclose(rows["iou"], iou.iou(shown > 0.6, masks))
    other = rows_of("keep", unchanged, maps, test, evaluated_model)
    assert (rows["insertion"] - other["insertion"]).abs().max() > 1e-4
    np.testing.assert_allclose(rows["id"].dropna(), (rows["insertion"] - rows["deletion"]).dropna())
    nothing = rows_of("none", above(2), maps, test, evaluated_model)
    assert nothing["empty"].all()
    assert (nothing["iou"] == 0).all()


def test_overlaps_of_some_images_are_those_among_all(val: ImageCache) -> None:
    maps = make_maps(val)
    shown, masks = iou.at_size(maps, val.image_ids, IMAGE_SIZE), val.foreground(slice(None))
    for level in (0.9, 0.1, 0.5, 0.3):
        found = overlaps(above(level), maps, val, np.arange(len(val)), 127)
        np.testing.assert_array_equal(found["iou"], iou.iou(shown > level, masks))
        some = overlaps(above(level), maps, val, np.array([4, 1]), 127)
        np.testing.assert_array_equal(some["iou"], found["iou"][[4, 1]])


def test_chunks_hold_every_row_once() -> None:
    parts = list(chunks(np.arange(7), 2**10))  # four images of a million pixels at once
    assert [len(part) for part in parts] == [4, 3]
    assert np.concatenate(parts).tolist() == list(range(7))
    assert [len(part) for part in chunks(np.arange(2), 2**13)] == [1, 1]


def test_error_rows_hold_what_the_parts_say(val: ImageCache, test: ImageCache, scored: Scored) -> None:
    maps, tau = make_maps(test), val_tau(make_maps(val), val, 127)
    assert tau == scored.summary["tau_val"]
    rows = error_rows(maps, test, 127, table(scored), tau, 3)
    assert list(rows.columns) == fix_tables.ERROR_COLUMNS
    assert rows["rule"].unique().tolist() == ["mean_std", "fixed", "val"]
    shown = iou.at_size(maps, test.image_ids, IMAGE_SIZE)
    for rule, part in rows.groupby("rule"):
        np.testing.assert_array_equal(part["image_id"], test.image_ids)
        np.testing.assert_allclose(part["iou"], table(scored)[f"iou_{rule}"])
        np.testing.assert_allclose(part[["iou", "fp", "fn"]].sum(axis=1), 1)
        predictions = iou.predict(shown, str(rule), tau)
        odd = errors.flags(predictions, test.masks, 127, part["iou"].to_numpy(), table(scored)["correct"].to_numpy())
        for name, values in odd.items():
            np.testing.assert_array_equal(part[name], values)
    assert (rows["misclassified"] == ~np.tile(table(scored)["correct"], 3)).all()


def test_scores_of_other_maps_are_refused(val: ImageCache, test: ImageCache, scored: Scored) -> None:
    other = table(scored).assign(iou_fixed=table(scored)["iou_fixed"] + 0.01)
    with pytest.raises(UserError, match=r"seed 3, give another IoU \(fixed\).*dvc repro edge@3"):
        error_rows(make_maps(test), test, 127, other, scored.summary["tau_val"], 3)
    with pytest.raises(UserError, match="of other images than the image cache"):
        error_rows(make_maps(test), test, 127, table(scored)[1:], scored.summary["tau_val"], 3)


def all_fixes(scored: Scored) -> pd.DataFrame:
    return pd.concat([original_rows(table(scored)).assign(fix=fix) for fix in fix_tables.FIXES], ignore_index=True)


def test_tables_come_back_as_they_were(tmp_path: Path, test: ImageCache, scored: Scored) -> None:
    rows = error_rows(make_maps(test), test, 127, table(scored), scored.summary["tau_val"], 3)
    for name, frame in {"errors.csv": rows, "edge.csv": all_fixes(scored)}.items():
        fix_tables.save(frame, tmp_path / name)
        pd.testing.assert_frame_equal(fix_tables.load(tmp_path / name, 3), frame)
    assert fix_tables.load(tmp_path / "no" / "edge.csv", 3) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns="empty"), "has the columns"),
        (lambda rows: rows.assign(seed=4), r"holds seeds \[4\], its folder says 3"),
        (lambda rows: pd.concat([rows, rows[:1]]), "image 101 occurs twice for one fix"),
        (lambda rows: rows.assign(iou=rows["iou"].where(rows["image_id"] > 103)), "lacks values of iou"),
        (lambda rows: rows[1:], r"not every fix of original, ala\+edge, ala\+largest, ala\+guided has the same images"),
        (lambda rows: rows[rows["fix"] != "ala+edge"], "not every fix of"),
    ],
)
def test_tables_that_are_not_whole_are_refused(tmp_path: Path, scored: Scored, change: Any, message: str) -> None:
    change(all_fixes(scored)).to_csv(tmp_path / "edge.csv", index=False)
    with pytest.raises(UserError, match=message):
        fix_tables.load(tmp_path / "edge.csv", 3)
