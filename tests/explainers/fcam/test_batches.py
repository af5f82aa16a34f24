"""Order, crops, mirroring, schedules, and the cache of frozen features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ala.config.schema import Fcam as Settings
from ala.config.schema import FcamStage
from ala.data.store import Store
from ala.explainers.fcam.batches import Plan, crops
from ala.explainers.fcam.classifier import CamClassifier
from ala.explainers.fcam.frozen import FrozenFeatures
from ala.explainers.fcam.optimise import learning_rate, set_rate, sgd

Toy = Callable[..., Store]


def test_each_epoch_visits_every_photo_once_in_a_new_order() -> None:
    plan = Plan(photos=10, stored=20, crop=16, epochs=3, batch=4, seed=0, stage="x")
    batches = list(plan)
    assert len(batches) == len(plan) == 9
    orders = [np.concatenate([b.rows for b in batches if b.epoch == epoch]).tolist() for epoch in range(3)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert [b.ends_epoch for b in batches[:3]] == [False, False, True]
    offsets = np.concatenate([b.offsets for b in batches])
    assert offsets.min() == 0
    assert offsets.max() == 4
    assert 0 < np.concatenate([b.flipped for b in batches]).mean() < 1


def test_the_seed_and_the_stage_decide() -> None:
    def order(seed: int, stage: str) -> list[int]:
        return np.concatenate([b.rows for b in Plan(30, 8, 8, 1, 8, seed, stage)]).tolist()

    assert order(0, "a") == order(0, "a")
    assert order(0, "a") != order(1, "a")
    assert order(0, "a") != order(0, "b")


def test_crops_are_windows_mirrored_where_told(toy: Toy) -> None:
    store = toy(6, 20, 0)
    for batch in Plan(6, 20, 16, 2, 4, 0, "x"):
        got = crops(store, batch, 16).numpy()
        for image, row, flipped, (top, left) in zip(got, batch.rows, batch.flipped, batch.offsets, strict=True):
            window = store.images[row, top : top + 16, left : left + 16]
            assert np.array_equal(image.transpose(1, 2, 0), window[:, ::-1] if flipped else window)


def test_cached_features_equal_features_computed_anew(toy: Toy, settings: Callable[..., Settings]) -> None:
    torch.manual_seed(0)
    store = toy(10, 48, 0)
    classifier = CamClassifier(settings(), 4)
    cached = FrozenFeatures(classifier, store, 48, 4)
    anew = FrozenFeatures(classifier, store, 48, 4, limit=1000)
    assert cached.cached
    assert not anew.cached
    for batch in Plan(10, 48, 48, 2, 3, 0, "x"):
        pixels = crops(store, batch, 48)
        (levels, cams), (levels_anew, cams_anew) = cached(batch, pixels), anew(batch, pixels)
        assert torch.allclose(cams, cams_anew, atol=1e-5)
        for level, other in zip(levels, levels_anew, strict=True):
            assert level.shape == other.shape
            assert torch.allclose(level, other, atol=1e-5)
            assert not level.requires_grad


def test_crops_cannot_be_cached(toy: Toy, settings: Callable[..., Settings]) -> None:
    assert not FrozenFeatures(CamClassifier(settings(), 4), toy(4, 56, 0), 48, 4).cached


def test_the_rate_falls_by_steps_and_the_head_learns_faster() -> None:
    stage = FcamStage(epochs=5, lr=0.1, step_epochs=2, momentum=0.9, weight_decay=1e-4, batch=2)
    assert [learning_rate(stage, epoch) for epoch in range(5)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])
    slow, fast = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimiser = sgd(stage, [slow], [fast], factor=10)
    set_rate(optimiser, 0.02)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.02, 0.2])
    assert all(group["nesterov"] and group["momentum"] == 0.9 for group in optimiser.param_groups)


def test_no_step_means_a_constant_rate() -> None:
    stage = FcamStage(epochs=100, lr=0.1, step_epochs=None, momentum=0.9, weight_decay=1e-4, batch=2)
    assert learning_rate(stage, 99) == 0.1
