"""Order, crops, mirroring, schedules, and the cache of frozen features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ala.config.schema import Fcam as Settings
from ala.config.schema import FcamStage
from ala.data.image_cache import ImageCache
from ala.explainers.fcam.batches import Crops, rate_factor, sgd
from ala.explainers.fcam.classifier import CamClassifier
from ala.explainers.fcam.frozen import FrozenFeatures

Toy = Callable[..., ImageCache]


def test_each_epoch_visits_every_image_once_in_a_new_order(toy: Toy) -> None:
    crops = Crops(toy(10, 20, 0), 16, 0, "x")
    orders, flipped, corners = zip(
        *((crops.order(epoch).tolist(), crops.flipped.copy(), crops.corners.copy()) for epoch in range(3)), strict=True
    )
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert (np.min(corners), np.max(corners)) == (0, 4)
    assert 0 < np.mean(flipped) < 1


def test_the_seed_and_the_stage_decide(toy: Toy) -> None:
    def order(seed: int, stage: str) -> list[int]:
        return Crops(toy(30, 8, 0), 8, seed, stage).order(0).tolist()

    assert order(0, "a") == order(0, "a")
    assert order(0, "a") != order(1, "a")
    assert order(0, "a") != order(0, "b")


def test_crops_are_windows_mirrored_where_reported(toy: Toy) -> None:
    image_cache = toy(6, 20, 0)
    crops = Crops(image_cache, 16, 0, "x")
    for epoch in range(2):
        indices = crops.order(epoch)[:4]
        for image, index in zip(crops.pixels(indices).numpy(), indices, strict=True):
            top, left = crops.corners[index]
            window = image_cache.images[index, top : top + 16, left : left + 16]
            assert np.array_equal(image.transpose(1, 2, 0), window[:, ::-1] if crops.flipped[index] else window)


def test_cached_features_equal_features_computed_again(toy: Toy, settings: Callable[..., Settings]) -> None:
    torch.manual_seed(0)
    image_cache = toy(10, 48, 0)
    classifier = CamClassifier(settings(), 4)
    cached = FrozenFeatures(classifier, image_cache, 48, 4)
    again = FrozenFeatures(classifier, image_cache, 48, 4, limit=1000)
    assert cached.cached
    assert not again.cached
    crops = Crops(image_cache, 48, 0, "x")
    for epoch in range(4):
        indices = crops.order(epoch)[:3]
        batch = (indices, crops.flipped[indices], crops.pixels(indices))
        (levels, cams), (levels_again, cams_again) = cached(*batch), again(*batch)
        assert torch.allclose(cams, cams_again, atol=1e-5)
        for level, other in zip(levels, levels_again, strict=True):
            assert level.shape == other.shape
            assert torch.allclose(level, other, atol=1e-5)
            assert not level.requires_grad


def test_crops_cannot_be_cached(toy: Toy, settings: Callable[..., Settings]) -> None:
    assert not FrozenFeatures(CamClassifier(settings(), 4), toy(4, 56, 0), 48, 4).cached


def test_the_rate_falls_by_steps_and_the_head_learns_faster() -> None:
    stage = FcamStage(epochs=5, lr=0.1, step_epochs=2, momentum=0.9, weight_decay=1e-4, batch=2)
    assert [0.1 * rate_factor(stage)(epoch, 0, 1) for epoch in range(5)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])
    slow, fast = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimiser = sgd(stage, [slow], [fast], factor=10)
    assert [group["lr"] for group in optimiser.param_groups] == [0.1, 1.0]
    assert all(group["nesterov"] and group["momentum"] == 0.9 for group in optimiser.param_groups)


def test_no_step_means_a_constant_rate() -> None:
    stage = FcamStage(epochs=100, lr=0.1, step_epochs=None, momentum=0.9, weight_decay=1e-4, batch=2)
    assert rate_factor(stage)(99, 0, 1) == 1
