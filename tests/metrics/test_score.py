"""The table of scores: which images get which number, and the same numbers as the parts give."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ala.config.schema import Engine, Metrics
from ala.contracts.maps import Maps
from ala.contracts.scores import COLUMNS
from ala.data.image_cache import ImageCache, subset_indices
from ala.metrics import iou
from ala.metrics.curves import area
from ala.metrics.scoring import Evaluated
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


def image_cache(split: str, per_class: int, first_id: int, size: int = IMAGE_SIZE) -> ImageCache:
    """Two classes of bright squares on noise; the square is the object."""
    random = np.random.default_rng(first_id)
    n = 2 * per_class
    images = random.integers(0, 160, (n, IMAGE_SIZE, IMAGE_SIZE, 3)).astype(np.uint8)
    masks = np.zeros((n, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for row in range(n):
        y, x = random.integers(0, 7, 2)
        masks[row, y : y + 5, x : x + 5] = 255
        images[row, y : y + 5, x : x + 5, row % 2] = 250
    images, masks = images[:, :size, :size], masks[:, :size, :size]
    return ImageCache(size, split, ["a", "b"], np.arange(first_id, first_id + n), np.arange(n) % 2, images, masks,
                 np.zeros((n, 4), np.float32))  # fmt: skip


def good_maps(images: ImageCache, indices: np.ndarray | None = None, **changes: Any) -> Maps:
    """The mask, blurred by noise."""
    indices = np.arange(len(images)) if indices is None else indices
    noise = np.random.default_rng(0).random((len(images), IMAGE_SIZE, IMAGE_SIZE))[indices]
    values = (images.foreground(indices) + noise).astype(np.float32)
    parts = {"method": "rise", "model": "toy", "targets": np.full(len(indices), -1), **changes}
    return Maps(images.image_ids[indices], values, **parts)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth(image_cache("val", 3, 1), image_cache("test", 4, 101), 127)


@pytest.fixture
def evaluated_model(truth: Truth, small_net: Any) -> Evaluated:
    return evaluated(small_net(IMAGE_SIZE, 2), truth.test)


def test_rows_hold_what_the_parts_say(truth: Truth, evaluated_model: Evaluated) -> None:
    val, test = good_maps(truth.val), good_maps(truth.test)
    found = score(val, test, truth, evaluated_model, SETTINGS, seed=7)
    rows = table(found)
    assert list(rows.columns) == COLUMNS
    assert len(rows) == 8
    assert set(rows["method"]) == {"rise"}
    assert set(rows["seed"]) == {7}
    np.testing.assert_array_equal(rows["image_id"], truth.test.image_ids)
    np.testing.assert_array_equal(rows["label"], truth.test.labels)
    np.testing.assert_array_equal(rows["target"], evaluated_model.full.argmax(1))
    np.testing.assert_array_equal(rows["correct"], evaluated_model.full.argmax(1) == truth.test.labels)

    masks, shown = truth.test.foreground(slice(None)), iou.min_max(test.importance)
    val_masks, val_shown = truth.val.foreground(slice(None)), iou.min_max(val.importance)
    tau = max(iou.TAUS, key=lambda t: (iou.iou(val_shown > np.float32(t), val_masks).mean(), -t))
    assert found.summary["tau_val"] == tau
    for rule in iou.RULES:
        np.testing.assert_allclose(rows[f"iou_{rule}"], iou.iou(iou.predict(shown, rule, tau), masks))
        assert not rows[f"empty_{rule}"].any()

    subset = subset_indices(truth.test, 2, 0)
    np.testing.assert_array_equal(np.flatnonzero(rows["insertion"].notna()), subset)
    np.testing.assert_allclose(rows["insertion"][subset], area(found.curves["predicted"].insertion))
    np.testing.assert_allclose(rows["deletion"][subset], area(found.curves["predicted"].deletion))
    np.testing.assert_allclose(rows["id"][subset], (rows["insertion"] - rows["deletion"])[subset])
    np.testing.assert_array_equal(found.curves["predicted"].image_ids, truth.test.image_ids[subset])
    summary = found.summary
    assert (summary["n_images"], summary["n_maps"]) == (8, 8)
    assert found.curves["true"].insertion.shape == (4, 9)
    assert summary["official/forwards"] == 4 * 15 + 1
    json.dumps(summary)


def test_images_without_a_map_have_no_iou(truth: Truth, evaluated_model: Evaluated) -> None:
    subset = subset_indices(truth.test, 2, 0)
    found = score(good_maps(truth.val), good_maps(truth.test, subset), truth, evaluated_model, SETTINGS, seed=0)
    rows, others = table(found), np.setdiff1d(np.arange(8), subset)
    assert rows["iou_otsu"][subset].notna().all()
    assert rows.loc[others, ["iou_mean_std", "iou_val", "empty_val", "insertion", "id"]].isna().all(axis=None)
    assert rows["correct"].notna().all()  # accuracy is over all test images
    everywhere = table(score(good_maps(truth.val), good_maps(truth.test), truth, evaluated_model, SETTINGS, seed=0))
    pd.testing.assert_frame_equal(rows.loc[subset], everywhere.loc[subset])


def test_order_of_maps_does_not_matter(truth: Truth, evaluated_model: Evaluated) -> None:
    backwards = good_maps(truth.test, np.arange(8)[::-1])
    one = score(good_maps(truth.val), good_maps(truth.test), truth, evaluated_model, SETTINGS, seed=0)
    two = score(good_maps(truth.val), backwards, truth, evaluated_model, SETTINGS, seed=0)
    pd.testing.assert_frame_equal(table(one), table(two))


def test_binary_maps_are_the_prediction_under_every_rule(truth: Truth, evaluated_model: Evaluated) -> None:
    test = truth.test
    full = Maps(test.image_ids, np.ones((1, 1, 1), np.float32), "full", "", np.full(8, -1), binary=True)
    found = score(full, full, truth, evaluated_model, SETTINGS, seed=0)
    for rule in iou.RULES:
        np.testing.assert_allclose(table(found)[f"iou_{rule}"], test.foreground(slice(None)).mean(axis=(1, 2)))
        assert not table(found)[f"empty_{rule}"].any()
    assert found.summary["tau_val"] is None
    assert found.summary["collapsed_constant"] == 0  # it is a mask, not a map that says nothing
    assert found.summary["official/tie_share"] == 1


def test_empty_predictions_are_counted_and_score_zero(truth: Truth, evaluated_model: Evaluated) -> None:
    values = good_maps(truth.test).importance.copy()
    values[3] = 0.25
    maps = Maps(truth.test.image_ids, values, "rise", "toy", np.full(8, -1))
    found = score(good_maps(truth.val), maps, truth, evaluated_model, SETTINGS, seed=0)
    for rule in ("mean_std", "fixed", "otsu"):
        assert table(found)[f"iou_{rule}"][3] == 0
        assert table(found)[f"empty_{rule}"].tolist() == [False] * 3 + [True] + [False] * 4
    assert found.summary["collapsed_constant"] == 1


def test_a_model_of_another_image_size_is_evaluated_at_its_own(truth: Truth, small_net: Any) -> None:
    small = image_cache("test", 4, 101, size=8)
    evaluated_model = evaluated(small_net(8, 2), small)
    found = score(good_maps(truth.val), good_maps(truth.test), truth, evaluated_model, SETTINGS, seed=0)
    assert found.curves["predicted"].insertion.shape[1] == 9  # as many as at the evaluation's size
    np.testing.assert_array_equal(table(found)["target"], evaluated_model.full.argmax(1))


def test_what_cannot_be_scored_is_refused(truth: Truth, evaluated_model: Evaluated) -> None:
    val, test = good_maps(truth.val), good_maps(truth.test)
    outside = np.setdiff1d(np.arange(8), subset_indices(truth.test, 2, 0))
    with pytest.raises(UserError, match="maps of rise lack image"):
        score(val, good_maps(truth.test, outside), truth, evaluated_model, SETTINGS, seed=0)
    with pytest.raises(UserError, match="image 1 is not in the test split"):
        score(val, val, truth, evaluated_model, SETTINGS, seed=0)
    with pytest.raises(UserError, match=r"the mask of image 101 has no foreground at 12 x 12 .*mask_threshold 127"):
        score(val, test, Truth(truth.val, blank(truth.test), 127), evaluated_model, SETTINGS, seed=0)


def blank(images: ImageCache) -> ImageCache:
    masks = images.masks.copy()
    masks[0] = 0
    return ImageCache(images.size, images.split, images.names, images.image_ids, images.labels, images.images, masks,
                 images.boxes)  # fmt: skip
