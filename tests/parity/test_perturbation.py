"""Insertion and deletion against torchcam and Quantus: same images, same maps, same model."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from ala.contracts.preprocessing import Preprocessing
from ala.metrics.curves import Curves, area
from ala.metrics.insertion_deletion import blur_kernel, blurred, insertion_deletion
from ala.perturbation import predict
from tests.parity.conftest import SmallNet, oracle

pytestmark = pytest.mark.oracle
IMAGE_SIZE, N, STEPS = 12, 4, 9  # 144 pixels, 16 per step
CPU = torch.device("cpu")


class Images:
    """Seeded random images."""

    image_ids = np.arange(1, N + 1)
    images = torch.as_tensor(np.random.default_rng(0).integers(0, 256, (N, 3, IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8))

    def pixels(self, indices: np.ndarray) -> torch.Tensor:
        return self.images[torch.as_tensor(indices)]


class Evaluated(SmallNet):
    preprocessing = Preprocessing.named(IMAGE_SIZE, "imagenet")


@pytest.fixture(scope="module")
def maps() -> np.ndarray:
    """Values without ties: how equal ones are ordered is each implementation's own business."""
    return (
        np.random.default_rng(1).permuted(np.tile(np.arange(144.0), (N, 1)), axis=1).reshape(N, IMAGE_SIZE, IMAGE_SIZE)
    )


@pytest.fixture(scope="module")
def ours(maps: np.ndarray) -> Curves:
    model, indices = Evaluated(IMAGE_SIZE), np.arange(N)
    full = predict(model, Images(), indices, 4, CPU)
    return insertion_deletion(
        model, Images(), indices, maps, full, method="test", step=144 // STEPS, kernel=blur_kernel(5, 2.0), seed=0,
        batch=10, device=CPU,
    )  # fmt: skip


class Given:
    """A torchcam extractor whose maps are given."""

    def __init__(self, model: torch.nn.Module, maps: torch.Tensor) -> None:
        self.model, self.maps = model, maps

    def __call__(self, *_: Any, **__: Any) -> list[torch.Tensor]:
        return [self.maps]

    def fuse_cams(self, cams: list[torch.Tensor]) -> torch.Tensor:
        return cams[0]

    def _hooks_off(self) -> Any:
        return nullcontext()


def test_torchcam_agrees_to_1e_6(maps: np.ndarray, ours: Curves) -> None:
    """Its baseline serves both curves: zeros give our deletion, the blurred image our insertion."""
    metrics = oracle("torchcam.metrics")
    model, kernel = Evaluated(IMAGE_SIZE), blur_kernel(5, 2.0)
    for index in range(N):
        image = model.preprocessing.normalise(Images.images[index : index + 1])
        found = {}
        for name, baseline in (("deletion", None), ("insertion", blurred(image, kernel))):
            extractor = Given(model, torch.as_tensor(maps[index : index + 1], dtype=torch.float32))
            metric = metrics.DeletionInsertionMetric(extractor, steps=STEPS, baseline=baseline)
            metric.update(image)
            found[name] = metric.summary()[f"{name}_auc"]
        assert found["deletion"] == pytest.approx(area(ours.deletion)[index], abs=1e-6)
        assert found["insertion"] == pytest.approx(area(ours.insertion)[index], abs=1e-6)


def test_quantus_flips_the_same_pixels(maps: np.ndarray, ours: Curves) -> None:
    """Pixel flipping is deletion without its first point. It ranks each channel by itself, so the channels of a pixel
    get neighbouring values here, and three times as many features are flipped in a step. Agreement 1e-6."""
    quantus = oracle("quantus")
    model = Evaluated(IMAGE_SIZE, softmax=False)
    images = model.preprocessing.normalise(Images.images).numpy()
    ranked = maps[:, None] + np.array([0.2, 0.1, 0.0])[:, None, None]  # (n, 3, S, S)
    zeros = {"perturb_baseline": 0.0}
    metric = quantus.PixelFlipping(features_in_step=3 * 144 // STEPS, normalise=False, disable_warnings=True, **zeros)
    found = metric(model=model, x_batch=images, y_batch=ours.targets, a_batch=ranked, softmax=True, device="cpu")
    np.testing.assert_allclose(np.array(found), ours.deletion[:, 1:], atol=1e-6)
