"""RISE's masks and maps against xaitk-saliency's, on the same grids, shifts and predictions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ala.explainers.rise import RiseMasks
from tests.parity.conftest import oracle

pytestmark = pytest.mark.oracle
IMAGE_SIZE, GRID, N = 30, 5, 40


class Shifts:
    """A generator that deals out offsets, row and column in turn."""

    def __init__(self, offsets: np.ndarray) -> None:
        self.values = iter(offsets.ravel().tolist())

    def integers(self, *_: float) -> int:
        return next(self.values)


@pytest.fixture(scope="module")
def masks() -> RiseMasks:
    return RiseMasks.draw(N, GRID, 0.5, IMAGE_SIZE, seed=0)


@pytest.fixture(scope="module")
def theirs(masks: RiseMasks) -> np.ndarray:
    """xaitk-saliency's up-sampling of our grids at our offsets."""
    module = oracle("xaitk_saliency.impls.perturb_image.rise")
    perturber = module.RISEGrid(n=N, s=GRID, p1=0.5, seed=0, threads=0)
    cells = np.unpackbits(masks.bits, axis=1, count=GRID * GRID).reshape(N, GRID, GRID)
    perturber.grid = cells.astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.np.random, "default_rng", lambda _seed: Shifts(masks.offsets))
        return perturber.perturb(np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8))


def test_masks_agree_but_for_the_rim(masks: RiseMasks, theirs: np.ndarray) -> None:
    """xaitk-saliency mirrors beyond the grid (scikit-image's mode `reflect`), we repeat its edge (bilinear without
    `align_corners`): the outer half cell of the up-sampled grid differs, everything else to 1e-6."""
    cell = math.ceil(IMAGE_SIZE / GRID)
    up = (GRID + 1) * cell
    rim = math.ceil(up / GRID / 2)  # half of an up-sampled cell
    inner = 0
    for mask, other, (row, column) in zip(masks.render(0, N).numpy(), theirs, masks.offsets, strict=True):
        inside = np.zeros((up, up), bool)
        inside[rim:-rim, rim:-rim] = True
        seen = inside[row : row + IMAGE_SIZE, column : column + IMAGE_SIZE]
        np.testing.assert_allclose(mask[seen], other[seen], atol=1e-6)
        inner += int(seen.sum())
    assert inner > 0.5 * N * IMAGE_SIZE * IMAGE_SIZE
    assert np.abs(masks.render(0, N).numpy() - theirs).max() > 0.01  # the rim is where they part


def test_maps_agree_from_the_same_masks_and_predictions(masks: RiseMasks) -> None:
    """Their scorer takes predictions and masks as we do, S = sum of prediction times mask, and scales by the largest
    value.
    """
    scoring = oracle("xaitk_saliency.impls.gen_classifier_conf_sal.rise_scoring").RISEScoring(p1=0.0)
    shown = masks.render(0, N).numpy().astype(np.float64)
    predictions = np.random.default_rng(1).random((N, 3))
    found = scoring.generate(np.zeros(3), predictions, shown)
    for label in range(3):
        expected = (predictions[:, label, None, None] * shown).sum(axis=0)
        np.testing.assert_allclose(found[label], expected / np.abs(expected).max(), atol=1e-6)
