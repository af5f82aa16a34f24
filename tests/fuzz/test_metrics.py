"""Metrics of any maps: equal to the obvious computation, bounded, and blind to what must not matter."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from ala.contracts.maps import resize
from ala.contracts.preprocessing import Preprocessing
from ala.metrics import errors, iou, lab, localisation
from ala.metrics.curves import Curves, area
from ala.metrics.insertion_deletion import blur_kernel, insertion_deletion
from ala.metrics.order import order, shown_pixels, tie_share
from ala.perturbation import predict
from tests.fuzz.reported import fewer

CPU = torch.device("cpu")
IMAGE_SIZE = 6
#: Few values make ties, which is where orders and thresholds go wrong.
UNIT = st.floats(0, 1, width=32) | st.sampled_from([0.0, 0.25, 0.5, 0.51, 1.0]) | st.sampled_from(iou.TAUS.tolist())
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, IMAGE_SIZE), st.integers(1, IMAGE_SIZE))


@st.composite
def maps_and_truth(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Maps `(n, h, w)` in [0, 1], and masks of which none is empty."""
    shape = draw(SHAPES)
    maps = draw(arrays(np.float64, shape, elements=UNIT)).astype(np.float32)
    truth = draw(arrays(bool, shape))
    truth[:, draw(st.integers(0, shape[1] - 1)), draw(st.integers(0, shape[2] - 1))] = True
    return maps, truth


def slow_iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    pixels = [(bool(p), bool(t)) for p, t in zip(prediction.ravel(), truth.ravel(), strict=True)]
    return sum(p and t for p, t in pixels) / sum(p or t for p, t in pixels)


@given(maps_and_truth(), st.sampled_from(iou.RULES), st.sampled_from(iou.TAUS.tolist()))
def test_iou_is_the_obvious_one(given: tuple[np.ndarray, np.ndarray], rule: str, tau: float) -> None:
    maps, truth = given
    predictions = iou.predict(maps, rule, tau)
    found = iou.iou(predictions, truth)
    assert predictions.shape == maps.shape
    np.testing.assert_allclose(found, [slow_iou(*pair) for pair in zip(predictions, truth, strict=True)], rtol=1e-12)
    assert ((found == 1) == (predictions == truth).all(axis=(1, 2))).all()
    parts = errors.shares(predictions, truth)
    np.testing.assert_array_equal(parts["iou"], found)
    np.testing.assert_allclose(parts["iou"] + parts["fp"] + parts["fn"], 1, rtol=1e-12)
    swapped = errors.shares(truth, predictions)
    np.testing.assert_array_equal(parts["fp"], swapped["fn"])
    assert all(kind in errors.KINDS for kind in errors.kinds(parts["fp"], parts["fn"], 2))


@given(maps_and_truth(), st.sampled_from(iou.RULES), st.randoms(use_true_random=False))
def test_an_image_does_not_see_its_neighbours(given: tuple[np.ndarray, np.ndarray], rule: str, random: Any) -> None:
    maps, truth = given
    others = list(range(len(maps)))
    random.shuffle(others)
    np.testing.assert_array_equal(iou.predict(maps, rule, 0.5)[others], iou.predict(maps[others], rule, 0.5))
    np.testing.assert_array_equal(iou.iou_by_tau(maps, truth)[others], iou.iou_by_tau(maps[others], truth[others]))
    # and a pixel's place within the image does not matter, if map and mask are moved alike
    turned, mask = maps[:, ::-1, ::-1], truth[:, ::-1, ::-1]
    np.testing.assert_array_equal(iou.iou_by_tau(maps, truth), iou.iou_by_tau(turned, mask))


@given(maps_and_truth())
def test_every_tau_at_once_is_each_tau_alone(given: tuple[np.ndarray, np.ndarray]) -> None:
    maps, truth = given
    curves = iou.iou_by_tau(maps, truth)
    alone = np.stack([iou.iou(iou.predict(maps, "val", tau), truth) for tau in iou.TAUS], axis=1)
    np.testing.assert_array_equal(curves, alone)
    best = iou.best_tau(curves)
    assert curves.mean(axis=0).max() == alone[:, best == iou.TAUS].mean()


@given(arrays(np.float32, SHAPES, elements=st.floats(-(2.0**60), 2.0**60, width=32)))
def test_min_max_reaches_both_ends_and_keeps_the_order(maps: np.ndarray) -> None:
    scaled = iou.min_max(maps)
    assert scaled.dtype == np.float32
    for one, found in zip(maps, scaled, strict=True):
        assert found.min() == 0
        assert found.max() == (one.min() < one.max())
        ranks = np.argsort(one, axis=None, kind="stable")
        assert (np.diff(found.ravel()[ranks]) >= 0).all()


@given(arrays(np.uint8, SHAPES))
def test_otsu_parts_best_of_all_thresholds(levels: np.ndarray) -> None:
    for one, found in zip(levels.astype(int), iou.otsu(levels), strict=True):
        spreads = {}
        for cut in range(255):
            low, high = one[one <= cut], one[one > cut]
            if low.size and high.size:
                spreads[cut] = low.size * high.size * (low.mean() - high.mean()) ** 2
        if not spreads:
            assert np.isnan(found)
        else:
            assert spreads[int(found)] >= max(spreads.values()) * (1 - 1e-12)


@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 9)), elements=st.floats(0, 1)))
def test_areas_are_bounded_and_turn_with_the_curve(curves: np.ndarray) -> None:
    found = area(curves)
    steps = 1 / (curves.shape[1] - 1)
    slow = [sum((a + b) / 2 * steps for a, b in pairwise(one)) for one in curves.tolist()]
    np.testing.assert_allclose(found, slow, atol=1e-12)
    assert (found >= curves.min(axis=1) - 1e-12).all()
    assert (found <= curves.max(axis=1) + 1e-12).all()
    np.testing.assert_allclose(area(curves[:, ::-1]), found, atol=1e-12)
    np.testing.assert_allclose(area(1 - curves), 1 - found, atol=1e-12)


VALUES = st.integers(-4, 4)  # exact under the transforms below, and with ties


@given(arrays(np.int64, (IMAGE_SIZE, IMAGE_SIZE), elements=VALUES), st.integers(0, 2**40), st.integers(0, 2**40))
def test_an_order_is_one_whatever_the_scale(values: np.ndarray, image_id: int, seed: int) -> None:
    importance = values.astype(np.float32)
    found = order(importance, image_id, seed)
    assert sorted(found.tolist()) == list(range(values.size))
    assert (np.diff(importance.ravel()[found]) <= 0).all()
    for other in (importance * 7 - 3, importance**3, np.exp2(importance)):  # monotone, so equal in rank
        np.testing.assert_array_equal(order(other, image_id, seed), found)
    flat = values.ravel().tolist()
    assert tie_share(values.ravel()[found]) == sum(flat.count(one) > 1 for one in flat) / len(flat)


@given(st.integers(1, 40), st.integers(1, 2000), st.integers(1, 40))
def test_steps_begin_with_nothing_and_end_with_all(image_size: int, step: int, reference: int) -> None:
    shown = shown_pixels(image_size, step, reference)
    assert (shown[0], shown[-1]) == (0, image_size * image_size)
    assert (np.diff(shown) >= 0).all()
    assert len(shown) == -(-(reference**2) // step) + 1


class Images:
    """Images uint8 `(n, 3, S, S)`; their ids are those of no other image."""

    def __init__(self, images: np.ndarray, image_ids: np.ndarray) -> None:
        self.images, self.image_ids = torch.as_tensor(images), image_ids

    def pixels(self, indices: np.ndarray) -> Tensor:
        return self.images[torch.as_tensor(indices)]


class Weighing:
    """Two classes by a fixed sum over pixels: cheap, and every pixel counts."""

    def __init__(self, image_size: int) -> None:
        self.preprocessing = Preprocessing.named(image_size, "half")
        self.weights = torch.linspace(-1, 1, 3 * image_size * image_size, dtype=torch.float64).view(
            3, image_size, image_size
        )

    def __call__(self, images: Tensor) -> Tensor:
        share = (images.double() * self.weights).mean(dim=(1, 2, 3)).sigmoid()
        return torch.stack([share, 1 - share], 1)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Images, np.ndarray, int]:
    n, image_size, step = draw(st.integers(1, 3)), draw(st.integers(2, IMAGE_SIZE)), draw(st.integers(1, 12))
    images = draw(arrays(np.uint8, (n, 3, image_size, image_size)))
    grid = draw(st.integers(1, image_size))
    maps = draw(arrays(np.int64, (n, grid, grid), elements=VALUES)).astype(np.float32)
    return Images(images, np.arange(50, 50 + n)), maps, min(step, image_size * image_size)


def curves(images: Images, indices: np.ndarray, maps: np.ndarray, step: int, batch: int = 7) -> Curves:
    model, kernel = Weighing(images.images.shape[-1]), blur_kernel(3, 1.0)
    full = predict(model, images, indices, 4, CPU)
    return insertion_deletion(
        model, images, indices, maps, full, method="m", step=step, kernel=kernel, seed=0, batch=batch, device=CPU
    )


@fewer
@given(scenes(), st.integers(1, 30), st.randoms(use_true_random=False))
def test_curves_are_those_of_each_image_alone(scene: tuple[Images, np.ndarray, int], batch: int, random: Any) -> None:
    images, maps, step = scene
    indices = np.arange(len(maps))
    found = curves(images, indices, maps, step)
    for name in ("insertion", "deletion"):
        assert (getattr(found, name) >= 0).all()
        assert (getattr(found, name) <= 1).all()
    np.testing.assert_array_equal(found.insertion[:, -1], found.deletion[:, 0])  # both are the whole image
    np.testing.assert_allclose(found.deletion[:, -1], 0.5)  # nothing is left
    mixed = indices.tolist()
    random.shuffle(mixed)
    again = curves(images, np.array(mixed), maps[mixed], step, batch)
    for name in ("insertion", "deletion"):
        np.testing.assert_allclose(getattr(again, name), getattr(found, name)[mixed], atol=1e-6)
    np.testing.assert_array_equal(again.tie_shares, found.tie_shares[mixed])


@fewer
@given(scenes())
def test_a_map_turned_over_deletes_where_it_inserted(scene: tuple[Images, np.ndarray, int]) -> None:
    """The most important pixels first and what is left, or the least important last: the same images, where no values
    are equal and the steps come out even."""
    images, maps, _ = scene
    image_size = images.images.shape[-1]
    ranks = np.argsort(np.argsort(resize(maps, image_size).reshape(len(maps), -1), axis=1), axis=1)
    distinct = ranks.reshape(-1, image_size, image_size).astype(np.float32)
    model, indices = Weighing(image_size), np.arange(len(maps))
    full = predict(model, images, indices, 4, CPU)
    options: dict[str, Any] = {
        "method": "m",
        "step": 1,
        "seed": 0,
        "batch": 5,
        "device": CPU,
        "kernel": torch.zeros(3),
    }
    one, other = (insertion_deletion(model, images, indices, sign * distinct, full, **options) for sign in (1, -1))
    np.testing.assert_allclose(one.insertion, other.deletion[:, ::-1], atol=1e-6)


@given(arrays(np.float32, st.tuples(st.integers(1, IMAGE_SIZE), st.integers(1, IMAGE_SIZE)), elements=st.floats(0, 1,
       width=32)), st.integers(1, 50))  # fmt: skip
def test_thresholds_of_the_lab_protocol_fall(importance: np.ndarray, points: int) -> None:
    taus = lab.thresholds(importance, points)
    assert 1 <= len(taus) <= points
    assert (np.diff(taus) <= 0).all()
    assert taus[-1] == importance.min()  # at last everything is shown
    counts = [(importance >= tau).sum() for tau in taus]
    step = -(-importance.size // points)
    assert all(count >= min(step * (k + 1), importance.size) for k, count in enumerate(counts))


@given(arrays(np.float32, (2, 3, 3), elements=st.floats(-9, 9, width=32)), st.integers(2, 9))
def test_quantised_maps_have_their_levels(maps: np.ndarray, levels: int) -> None:
    found = lab.quantised(maps, levels)
    assert len(np.unique(found)) <= levels
    assert set(np.rint(found * (levels - 1)).ravel()) <= set(range(levels))
    scaled = iou.min_max(maps)
    assert (found <= scaled + 1e-6).all()  # the lower level
    assert (found > scaled - 1 / (levels - 1) - 1e-6).all()
    assert ((found == 1) == (scaled == 1)).all()


@given(maps_and_truth())
def test_localisation_is_bounded(given: tuple[np.ndarray, np.ndarray]) -> None:
    maps, truth = given
    for values in (localisation.pointing(maps, truth), localisation.energy(maps, truth)):
        assert ((values >= 0) & (values <= 1 + 1e-9) | np.isnan(values)).all()
    assert (np.isnan(localisation.energy(maps, truth)) == (maps == 0).all(axis=(1, 2))).all()
    histograms = localisation.score_histograms(maps, truth)
    assert histograms.sum() == maps.size
    assert 0 < localisation.pxap(histograms) <= 1 + 1e-9
    perfect = localisation.score_histograms(truth.astype(np.float32), truth)
    assert localisation.pxap(perfect) == 1


@given(st.lists(st.tuples(*[st.floats(0.01, IMAGE_SIZE)] * 4), min_size=1, max_size=4))
def test_listed_boxes_have_a_pixel(boxes: list[tuple[float, ...]]) -> None:
    found = localisation.listed(np.array(boxes))
    x0, y0, x1, y1 = found.T
    assert ((x0 <= x1) & (y0 <= y1)).all()
    assert (found >= 0).all()
    for one in found:
        overlap = localisation.box_iou(found, one)
        assert ((overlap >= 0) & (overlap <= 1)).all()
        assert overlap[(found == one).all(axis=1)].tolist() == [1] * int((found == one).all(axis=1).sum())
