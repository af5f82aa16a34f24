"""PxAP, boxes, IoU and thresholds against scikit-learn, OpenCV, torchmetrics and scikit-image."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from ala.config import load
from ala.explainers import edge
from ala.metrics import iou, localisation
from tests.imports import ROOT
from tests.parity.conftest import oracle

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


def opencv_boxes(cv2: ModuleType, foreground: np.ndarray) -> list[list[int]]:
    """Boxes of all contours of a mask in wsolevaluation's convention, the one of the largest contour first."""
    height, width = foreground.shape
    contours, _ = cv2.findContours(foreground.astype(np.uint8) * 255, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return [[0, 0, 0, 0]]
    boxes = []
    for contour in (max(contours, key=cv2.contourArea), *contours):
        x, y, w, h = cv2.boundingRect(contour)
        boxes.append([x, y, min(x + w, width - 1), min(y + h, height - 1)])
    return boxes


@pytest.mark.parametrize("share", [0.02, 0.2, 0.4, 0.5, 0.6, 0.8, 0.98])
def test_boxes_are_opencvs_contours(share: float) -> None:
    """Bit for bit, on masks of every density, with holes, parts in holes, equal areas and parts at the border."""
    cv2 = oracle("cv2")
    random = np.random.default_rng(int(100 * share))
    for _ in range(400):
        foreground = random.random(random.integers(1, 25, 2)) < share
        found, expected = localisation.contour_boxes(foreground), opencv_boxes(cv2, foreground)
        assert found[0].tolist() == expected[0]
        assert sorted(found[1:].tolist()) == sorted(expected[1:])


def test_box_scores_are_those_of_opencvs_boxes() -> None:
    """MaxBoxAcc's and MaxBoxAccV2's IoU at every threshold of smooth maps, equal to the last bit."""
    cv2 = oracle("cv2")
    random = np.random.default_rng(0)
    maps = np.stack([cv2.resize(random.random((6, 6)), (40, 40), interpolation=cv2.INTER_CUBIC) for _ in range(8)])
    maps = iou.min_max(maps)
    boxes = np.hstack([random.integers(0, 15, (8, 2)), random.integers(8, 25, (8, 2))])
    largest, best = localisation.box_scores(maps, boxes, 0.01)
    for index, (x, y, w, h) in enumerate(boxes):
        levels = (maps[index] * 255).astype(np.uint8)
        for place, tau in enumerate(np.arange(0, 1, 0.01)):
            _, white = cv2.threshold(levels, int(tau * np.max(levels)), 255, cv2.THRESH_BINARY)
            ious = []
            for x0, y0, x1, y1 in opencv_boxes(cv2, white > 0):
                both = max(0, min(x1, x + w) - max(x0, x) + 1) * max(0, min(y1, y + h) - max(y0, y) + 1)
                ious.append(both / ((x1 - x0 + 1) * (y1 - y0 + 1) + (w + 1) * (h + 1) - both))
            assert (largest[index, place], best[index, place]) == (ious[0], max(ious))


@pytest.mark.parametrize("rule", ["mean_std", "fixed", "otsu"])
def test_iou_is_torchmetrics_jaccard_index(pair: tuple[np.ndarray, np.ndarray], rule: str) -> None:
    """Per image, to float32's rounding; foreground only, so the binary index and not the two-class mean."""
    jaccard = oracle("torchmetrics.functional.classification").binary_jaccard_index
    maps, masks = pair
    predicted = iou.predict(maps, rule)
    found = iou.iou(predicted, masks)
    for index in range(len(maps)):
        expected = jaccard(torch.as_tensor(predicted[index]).int(), torch.as_tensor(masks[index]).int())
        assert found[index] == pytest.approx(float(expected), abs=1e-6)


def test_otsu_is_scikit_images(pair: tuple[np.ndarray, np.ndarray]) -> None:
    threshold_otsu = oracle("skimage.filters").threshold_otsu
    levels = np.rint(pair[0] * 255).astype(np.uint8)
    np.testing.assert_array_equal(iou.otsu(levels), [threshold_otsu(one) for one in levels])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_edges_are_scikit_images_canny_after_opencvs_gaussian(seed: int) -> None:
    """Thresholds are 0.66 and 1.33 times the median of the smoothed image. Away from the
    border, where OpenCV mirrors the image and we repeat it, the edges are the same pixel for pixel."""
    canny, cv2 = oracle("skimage.feature").canny, oracle("cv2")
    random = np.random.default_rng(seed)
    image = np.kron(random.integers(20, 230, (5, 5)), np.ones((10, 10))) + random.random((50, 50)) * 9
    smooth = cv2.GaussianBlur(image, (5, 5), edge.SIGMA)
    median = np.median(smooth)
    expected = canny(smooth, 0, 0.66 * median, 1.33 * median, mode="nearest")
    found = edge.edges(image, load(ROOT / "params.yaml").profiles["mini"].edge.model_copy(update={"dilate": 1}))
    assert expected[4:-4, 4:-4].any()
    np.testing.assert_array_equal(found[4:-4, 4:-4], expected[4:-4, 4:-4])
