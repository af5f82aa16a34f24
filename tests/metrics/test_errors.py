"""Kinds of errors against counts made pixel by pixel, and flags on masks drawn for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ala.config import load
from ala.metrics.errors import FLAGS, KINDS, flags, kinds, shares, worst

ROOT = Path(__file__).resolve().parents[2]


def slow_shares(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    both = too_much = missing = 0
    for p, g in zip(prediction.ravel().tolist(), truth.ravel().tolist(), strict=True):
        both += p and g
        too_much += p and not g
        missing += g and not p
    union = both + too_much + missing
    return both / union, too_much / union, missing / union


def slow_kind(fp: float, fn: float, rho: float) -> str:
    if fp == 0 and fn == 0:
        return "Others"
    if fp >= rho * fn:
        return "OA"
    return "IA" if fn >= rho * fp else "Others"


def test_shares_and_kinds_are_those_counted_one_by_one() -> None:
    random = np.random.default_rng(0)
    density = random.random((60, 2, 1, 1))
    predictions = random.random((60, 9, 9)) < density[:, 0]
    truth = random.random((60, 9, 9)) < density[:, 1]
    truth[:, 0, 0] = True
    predictions[0], predictions[1] = False, truth[1]
    found = shares(predictions, truth)
    slow = np.array([slow_shares(p, g) for p, g in zip(predictions, truth, strict=True)])
    np.testing.assert_allclose(np.stack([found["iou"], found["fp"], found["fn"]], 1), slow)
    np.testing.assert_allclose(sum(found.values()), 1)
    seen = set()
    for rho in (1.5, 2, 3):
        named = kinds(found["fp"], found["fn"], rho).tolist()
        assert named == [slow_kind(fp, fn, rho) for _, fp, fn in slow]
        seen |= set(named)
    assert seen == set(KINDS)


def test_dominance_counts_from_rho_on() -> None:
    fp, fn = np.array([0.4, 0.39, 0.2, 0.0]), np.array([0.2, 0.2, 0.4, 0.0])
    assert kinds(fp, fn, 2).tolist() == ["OA", "Others", "IA", "Others"]


def masks(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A 20 x 20 mask, true in boxes of rows a..b and columns c..d."""
    mask = np.zeros((20, 20), bool)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


BIRD = (4, 9, 5, 12)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([BIRD, (12, 15, 5, 12)], True),
        ([BIRD, (0, 3, 5, 12)], False),  # above
        ([BIRD, (5, 8, 14, 18)], False),  # beside
        ([(4, 15, 5, 12)], False),  # one part, however far it reaches
        ([(12, 15, 5, 12)], False),  # elsewhere altogether
        ([BIRD, (9, 12, 12, 15)], True),  # touches by a corner only
        ([], False),
    ],
)
def test_a_second_part_below_the_object_may_be_its_reflection(boxes, expected) -> None:
    grey = np.uint8(255) * masks(BIRD)[None]
    found = flags(masks(*boxes)[None], grey, 127, np.zeros(1), np.ones(1, bool))
    assert found["reflection"].tolist() == [expected]


def test_flags_are_what_their_names_say() -> None:
    grey = np.stack([np.uint8(255) * masks((2, 6, 2, 7)), np.uint8(255) * masks((2, 6, 2, 6))])  # 20, 16 of 400 pixels
    grey[0][6:9, 2:5] = 102  # nine pixels that a minority marked
    prediction = np.stack([masks((2, 9, 2, 5)), masks((2, 9, 2, 5))])
    found = flags(prediction, grey, 127, np.array([0.02, 0.0199]), np.array([True, False]))
    assert list(found) == list(FLAGS)
    assert found["missed"].tolist() == [False, True]
    assert found["misclassified"].tolist() == [False, True]
    assert found["tiny_object"].tolist() == [False, True]  # 5 % is not below 5 %
    assert found["mask_uncertain"].tolist() == [True, False]  # 9 of a union of 29
    assert not flags(prediction, grey, 101, np.zeros(2), np.ones(2, bool))["mask_uncertain"].any()


def test_the_worst_come_first_and_ties_go_by_id() -> None:
    ids = np.array([9, 4, 7, 1, 5])
    iou = np.array([0.5, 0.1, 0.1, 0.9, 0.0])
    assert worst(ids, iou, 0.4, 1).tolist() == [5, 4]
    assert worst(ids, iou, 0.2, 3).tolist() == [5, 4, 7]
    assert worst(ids, iou, 0.2, 50).tolist() == [5, 4, 7, 9, 1]


def test_the_slides_hundred_are_a_hundred() -> None:
    settings = load(ROOT / "params.yaml").profiles["paper"].errors
    ids = np.arange(5794)
    assert len(worst(ids, ids / 5794, settings.worst_share, settings.at_least)) == 100
