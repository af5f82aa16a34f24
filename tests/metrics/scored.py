"""Scores of maps in one call, as tests of metrics want them: long rows, and the wide table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from ala import registry
from ala.config.schema import Metrics
from ala.contracts.maps import Maps
from ala.contracts.scores import wide
from ala.data.image_cache import ImageCache
from ala.metrics.scoring import Evaluated, Scored, Scoring, score, val_tau
from ala.perturbation import predict

METRICS = ["prediction", "iou", "insertion-deletion"]


class Truth(NamedTuple):
    """Validation and test images with their objects."""

    val: ImageCache
    test: ImageCache
    mask_threshold: int = 127


def evaluated(classifier, images: ImageCache, name: str = "toy") -> Evaluated:  # type: ignore[no-untyped-def]
    full = predict(classifier, images, np.arange(len(images)), 4, torch.device("cpu"))
    return Evaluated(name, classifier, images, full, torch.device("cpu"))


def scored(val: Maps, test: Maps, truth: Truth, model: Evaluated, settings: Metrics, seed: int) -> Scored:
    tau = val_tau(val, truth.val, truth.mask_threshold)
    scoring = Scoring(test, truth.test, truth.mask_threshold, settings, tau, model)
    return score(scoring, [registry.find("metrics", name)() for name in METRICS], seed)


def table(found: Scored):  # type: ignore[no-untyped-def]
    return wide(found.rows)
