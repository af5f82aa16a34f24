"""RISE against a slow reference with stored masks, and on models whose prediction is known."""

from __future__ import annotations

import gc
import math
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from skimage.transform import resize

from ala.explainers import rise as module
from ala.explainers.rise import RiseMasks
from ala.utils.errors import UserError


def rise(**changes: Any) -> dict[str, Any]:
    return {"n_masks": 60, "grid": 4, "p1": 0.5, "seed": 3, "output": "probabilities", "batch": 16, **changes}


def rise_maps(
    model: Any, images: Any, indices: np.ndarray, targets: np.ndarray, settings: Any, **more: Any
) -> np.ndarray:
    normalised = model.preprocessing.normalise(images.pixels(indices))  # (B, 3, S, S)
    return module.rise(model, normalised, targets, **settings, **more).numpy()


def slow_masks(masks: RiseMasks) -> np.ndarray:
    """All masks, one after another, up-sampled by scikit-image as the official code does, cropped, and stored."""
    stored = []
    cell = math.ceil(masks.image_size / masks.grid)
    for bits, (row, column) in zip(masks.bits, masks.offsets, strict=True):
        cells = np.unpackbits(bits)[: masks.grid**2].reshape(masks.grid, masks.grid).astype(float)
        up = resize(cells, ((masks.grid + 1) * cell,) * 2, order=1, mode="edge", anti_aliasing=False)
        stored.append(up[row : row + masks.image_size, column : column + masks.image_size])
    return np.stack(stored)


@pytest.mark.parametrize(("grid", "image_size"), [(4, 16), (5, 18), (3, 32)])
def test_rendered_masks_equal_the_stored_reference(grid: int, image_size: int) -> None:
    masks = RiseMasks.draw(40, grid, 0.5, image_size, seed=1)
    np.testing.assert_allclose(masks.render(0, 40).numpy(), slow_masks(masks), atol=1e-6)
    np.testing.assert_array_equal(masks.render(7, 19).numpy(), masks.render(0, 40)[7:19].numpy())


def test_packed_masks_are_small_and_follow_the_seed() -> None:
    masks = RiseMasks.draw(8000, 7, 0.5, 224, seed=0)
    assert masks.bits.nbytes == 8000 * 7  # 49 bits in 7 bytes
    assert masks.offsets.min() == 0
    assert masks.offsets.max() == 31
    again, other = RiseMasks.draw(8000, 7, 0.5, 224, seed=0), RiseMasks.draw(8000, 7, 0.5, 224, seed=1)
    assert (masks.bits == again.bits).all()
    assert (masks.offsets == again.offsets).all()
    assert (masks.bits != other.bits).any()


@pytest.mark.parametrize("p1", [0.1, 0.5, 0.8])
def test_mean_of_the_masks_is_p1(p1: float) -> None:
    shown = RiseMasks.draw(4000, 4, p1, 20, seed=0).render(0, 4000)
    assert shown.min() >= 0
    assert shown.max() <= 1 + 1e-6  # rounding of the interpolation
    # The mean over cells and masks; its standard error is below sqrt(p q / (4000 * 16)), widened by the overlap.
    assert shown.mean().item() == pytest.approx(p1, abs=0.01)
    np.testing.assert_allclose(shown.mean(0).numpy(), p1, atol=0.05)


@pytest.mark.parametrize("output", ["probabilities", "logits"])
def test_maps_equal_a_slow_reference(toy_images: Any, small_net: Any, output: str) -> None:
    images, model, settings = toy_images(5, 18), small_net(18), rise(output=output)
    indices, targets = np.array([4, 0, 2]), np.array([1, 3, 0])
    found = rise_maps(model, images, indices, targets, settings)

    masks = slow_masks(RiseMasks.draw(60, 4, 0.5, 18, seed=3))
    for index, target, result in zip(indices, targets, found, strict=True):
        image = model.preprocessing.normalise(images.images[index][None])
        expected = np.zeros((18, 18))
        for mask in masks:
            logits = model.logits(image * torch.as_tensor(mask).float())[0]
            prediction = logits if output == "logits" else logits.softmax(0)
            expected += prediction[target].item() * mask
        np.testing.assert_allclose(result, expected / (60 * 0.5), rtol=2e-5, atol=1e-6)


def test_maps_do_not_depend_on_batch_or_memory(toy_images: Any, small_net: Any) -> None:
    images, model = toy_images(3, 16), small_net(16)
    indices, targets = np.arange(3), np.array([0, 1, 2])
    one = rise_maps(model, images, indices, targets, rise(batch=60))
    for batch, memory in [(1, 2**20), (7, 2**20), (16, 1), (25, 30_000)]:
        for sums in (2**20, 2000):  # 2000 bytes: one map of 16 x 16 at a time
            other = rise_maps(model, images, indices, targets, rise(batch=batch), memory=memory, sums=sums)
            np.testing.assert_allclose(other, one, rtol=0, atol=1e-6)
            again = rise_maps(model, images, indices, targets, rise(batch=60), memory=memory, sums=sums)
            np.testing.assert_array_equal(other, again)  # of the batch not even the last bit
    np.testing.assert_array_equal(rise_maps(model, images, indices, targets, rise(batch=60)), one)  # deterministic


def test_a_map_does_not_depend_on_the_images_beside_it(toy_images: Any, small_net: Any) -> None:
    images, model = toy_images(5, 16), small_net(16)
    targets = np.array([0, 1, 2, 0, 1])
    together = rise_maps(model, images, np.arange(5), targets, rise(batch=60))
    for rows in ([3], [4, 0], [2, 1, 3]):
        some = rise_maps(model, images, np.array(rows), targets[rows], rise(batch=60))
        np.testing.assert_array_equal(some, together[rows])  # so shards of any size give the same bytes


def test_a_constant_model_gives_the_mean_of_the_masks(toy_images: Any, constant: Any) -> None:
    settings = rise(n_masks=3000, p1=0.4)
    found = rise_maps(constant(16), toy_images(1, 16), np.array([0]), np.array([1]), settings)
    masks = RiseMasks.draw(3000, 4, 0.4, 16, seed=3).render(0, 3000)
    expected = 0.7 * masks.double().mean(0).numpy() / 0.4
    np.testing.assert_allclose(found[0], expected, rtol=3000 * 2**-24)  # the bound of a float32 sum of 3,000 terms
    np.testing.assert_allclose(found[0], 0.7, rtol=0.1)  # flat, up to the masks' own scatter


def test_a_linear_model_shows_its_planted_patch(toy_images: Any, planted: Any) -> None:
    images = toy_images(1, 24)
    patch = (slice(4, 10), slice(12, 18))
    model = planted(images.images[0], patch)
    found = rise_maps(model, images, np.array([0]), np.array([0]), rise(n_masks=2000, grid=6))[0]
    inside = np.zeros((24, 24), bool)
    inside[patch] = True
    assert inside[np.unravel_index(found.argmax(), found.shape)]
    assert found[inside].mean() > found[~inside].mean() + 4 * found[~inside].std()


def test_logits_are_refused_without_the_method(toy_images: Any, constant: Any) -> None:
    with pytest.raises(UserError, match=r"set rise\.output to probabilities"):
        rise_maps(constant(16), toy_images(1, 16), np.array([0]), np.array([0]), rise(output="logits"))


def test_masks_of_one_turn_are_gone_before_the_next(
    monkeypatch: pytest.MonkeyPatch, toy_images: Any, small_net: Any
) -> None:
    """Without the collector of circles, which looks for them when Python has made many small objects: late."""
    rendered: list[weakref.ref[torch.Tensor]] = []
    render = RiseMasks.render

    def noted(self: RiseMasks, *range_: Any) -> torch.Tensor:
        assert [one for one in rendered if one() is not None] == []
        shown = render(self, *range_)
        rendered.append(weakref.ref(shown))
        return shown

    monkeypatch.setattr(RiseMasks, "render", noted)
    gc.disable()
    try:
        rise_maps(small_net(16), toy_images(3, 16), np.arange(3), np.zeros(3, int), rise(), memory=20 * 4 * 16**2)
    finally:
        gc.enable()
    assert len(rendered) > 2
