"""PxAP, IoU and thresholds against scikit-learn, torchmetrics and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ala.config import load
from ala.explain import edge
from ala.metrics import iou, localisation
from tests.imports import ROOT
from tests.oracles.conftest import oracle

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Five maps in [0, 1] that know something of their masks."""
    random = np.random.default_rng(0)
    masks = random.random((5, 24, 24)) < 0.3
    return np.clip(0.3 * masks + 0.7 * random.random(masks.shape), 0, 1).astype(np.float32), masks


def test_pxap_is_scikit_learns_average_precision_of_the_binned_map(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Equal to 1e-12 on the bins; the bins of 0.001 themselves cost less than 1e-3."""
    average_precision = oracle("sklearn.metrics").average_precision_score
    maps, masks = pair
    found = localisation.pxap(localisation.score_histograms(maps, masks))
    binned = np.floor(maps.astype(np.float64) * 1000)
    assert found == pytest.approx(average_precision(masks.ravel(), binned.ravel()), abs=1e-12)
    assert found == pytest.approx(average_precision(masks.ravel(), maps.ravel()), abs=1e-3)


@pytest.mark.parametrize("rule", ["mean_std", "fixed", "otsu"])
def test_iou_is_torchmetrics_jaccard_index(pair: tuple[np.ndarray, np.ndarray], rule: str) -> None:
    """Per photo, to float32's rounding; foreground only, so the binary index and not the two-class mean."""
    jaccard = oracle("torchmetrics.functional.classification").binary_jaccard_index
    maps, masks = pair
    predicted = iou.predict(maps, rule)
    found = iou.iou(predicted, masks)
    for photo in range(len(maps)):
        expected = jaccard(torch.as_tensor(predicted[photo]).int(), torch.as_tensor(masks[photo]).int())
        assert found[photo] == pytest.approx(float(expected), abs=1e-6)


def test_otsu_is_scikit_images(pair: tuple[np.ndarray, np.ndarray]) -> None:
    threshold_otsu = oracle("skimage.filters").threshold_otsu
    levels = np.rint(pair[0] * 255).astype(np.uint8)
    np.testing.assert_array_equal(iou.otsu(levels), [threshold_otsu(one) for one in levels])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_edges_are_scikit_images_canny_after_opencvs_gaussian(seed: int) -> None:
    """Thresholds are 0.66 and 1.33 times the median of the smoothed photo. Away from the
    border, where OpenCV mirrors the photo and we repeat it, the edges are the same pixel for pixel."""
    canny, cv2 = oracle("skimage.feature").canny, oracle("cv2")
    random = np.random.default_rng(seed)
    photo = np.kron(random.integers(20, 230, (5, 5)), np.ones((10, 10))) + random.random((50, 50)) * 9
    smooth = cv2.GaussianBlur(photo, (5, 5), edge.SIGMA)
    median = np.median(smooth)
    expected = canny(smooth, 0, 0.66 * median, 1.33 * median, mode="nearest")
    found = edge.edges(photo, load(ROOT / "params.yaml").profiles["mini"].edge.model_copy(update={"dilate": 1}))
    assert expected[4:-4, 4:-4].any()
    np.testing.assert_array_equal(found[4:-4, 4:-4], expected[4:-4, 4:-4])
