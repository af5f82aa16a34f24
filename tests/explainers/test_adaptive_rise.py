"""Adaptive RISE equals RISE with the first of its masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from ala.explainers.adaptive_rise import AdaptiveRise, adaptive_rise, rank_correlation
from ala.explainers.rise import RiseMasks, rise
from ala.utils.errors import UserError
from tests.explainers.conftest import Constant, Planted, SmallNet, ToyImages

SETTINGS: dict[str, Any] = {"n_masks": 240, "grid": 4, "p1": 0.5, "seed": 3, "batch": 16}


def test_a_bound_out_of_reach_gives_rise_itself() -> None:
    model, targets = SmallNet(16), np.array([1, 3])
    images = model.preprocessing.normalise(ToyImages(3, 16).pixels(np.array([2, 0])))
    found = adaptive_rise(model, images, targets, **SETTINGS, bound=1 - 1e-9, block=50)
    exact = rise(model, images, targets, **SETTINGS)
    torch.testing.assert_close(found.importance, exact, atol=1e-5, rtol=0)
    assert found.masks.tolist() == [240, 240]
    explainer = AdaptiveRise(model, **SETTINGS, bound=1 - 1e-9, block=50)
    assert torch.equal(explainer.explain(images, torch.as_tensor(targets)), found.importance)


def test_each_image_stops_by_itself_and_its_map_is_the_mean_of_its_masks() -> None:
    class Half(Planted):
        """Class 0 sees the planted patch, class 1 nothing: its halves differ by their masks alone."""

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            share = 0.7 * super().__call__(images)[:, 0]
            return torch.stack([share, torch.full_like(share, 0.3), 0.7 - share], 1)

    image_source = ToyImages(1, 16)
    model = Half(image_source.images[0], (slice(2, 8), slice(2, 8)))
    image = model.preprocessing.normalise(image_source.pixels(np.array([0])))
    found = adaptive_rise(model, image.repeat(2, 1, 1, 1), np.array([0, 1]), **SETTINGS, bound=0.6, block=20)
    assert found.masks[0] < found.masks[1]
    used = int(found.masks[0])
    assert used % 20 == 0
    assert found.agreement[0] >= 0.6
    shown = RiseMasks.draw(240, 4, 0.5, 16, 3).render(0, used)  # the first of RISE's own masks
    weights = torch.stack([model(image * mask)[0, 0] for mask in shown])
    expected = (weights[:, None, None] * shown).sum(0) / (used * 0.5)
    np.testing.assert_allclose(found.importance[0], expected.numpy(), atol=1e-5)
    halves = [(weights[half::2, None, None] * shown[half::2]).sum(0).numpy() for half in (0, 1)]
    assert found.agreement[0] == pytest.approx(spearmanr(halves[0].ravel(), halves[1].ravel()).statistic, abs=1e-4)


def test_rank_correlation() -> None:
    random = np.random.default_rng(0)
    one, other = random.integers(0, 9, (6, 6)), random.random((6, 6))
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one.ravel(), other.ravel()).statistic)
    assert rank_correlation(np.ones(4), np.arange(4)) == 0


@pytest.mark.parametrize("wrong", [{"bound": 0.0}, {"bound": 1.0}, {"block": 3}, {"block": 0}])
def test_nonsense_is_refused(wrong: dict[str, float]) -> None:
    options = {"bound": 0.9, "block": 10} | wrong
    with pytest.raises(UserError, match=r"adaptive-rise\.(bound|block) is .* must"):
        # type: ignore[arg-type]
        adaptive_rise(Constant(16), torch.zeros(1, 3, 16, 16), np.array([0]), **SETTINGS, **options)
