"""Metrics of plain arrays, as a notebook wants them; the pipeline's metrics measure whole splits in shards."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ala.contracts.classifier import Classifier
from ala.contracts.maps import resize
from ala.metrics import iou as rules
from ala.metrics.curves import Curves
from ala.metrics.insertion_deletion import blur_kernel, insertion_deletion_of
from ala.perturbation import predict


def iou(
    maps: Tensor | np.ndarray, masks: np.ndarray, *, rule: str = "mean_std", tau: float | None = None,
    calibrated: bool = False,
) -> np.ndarray:  # fmt: skip
    """Compute the intersection over union of maps, made binary by a threshold rule, with the objects' masks.

    Args:
        maps: `(n, h, w)`, larger = more important, of any resolution.
        masks: boolean `(n, S, S)`, none of them empty.
        rule: one of :data:`ala.metrics.iou.RULES`; `val` takes the threshold `tau`.
        calibrated: whether values are probabilities; others are scaled to [0, 1] for each image first.

    Returns:
        float64 `(n,)` in [0, 1].
    """
    masks = np.asarray(masks, dtype=bool)
    values = resize(np.asarray(maps, dtype=np.float32), masks.shape[-1])  # (n, S, S)
    return rules.iou(rules.predict(values if calibrated else rules.min_max(values), rule, tau), masks)


def insertion_deletion(
    classifier: Any,
    images: Tensor,
    maps: Tensor | np.ndarray,
    targets: Tensor | np.ndarray | None = None,
    *,
    step: int | None = None,
    blur_size: int = 11,
    blur_sigma: float = 5.0,
    seed: int = 0,
    batch: int = 64,
) -> Curves:
    """Compute insertion and deletion curves of maps on a classifier; `.areas()` of them are the scores.

    Args:
        classifier: normalised images to probabilities `(B, K)`, in eval mode.
        images: normalised, `(n, 3, S, S)`, on the device of the classifier.
        maps: `(n, h, w)`, larger = more important, of any resolution.
        targets: int `(n,)`, the class followed on each image; default: the class that is predicted.
        step: pixels per step; default: two rows of the image.
        blur_size, blur_sigma: of the blurred image from which insertion starts, in pixels.
        seed: of the order of equal values.
        batch: perturbed images per forward pass.
    """
    size = images.shape[-1]
    model, source, index = _Normalised(classifier, size), _Images(images), np.arange(len(images))
    full = predict(model, source, index, batch, images.device)  # (n, K)
    classes = full.argmax(axis=1) if targets is None else np.asarray(targets)
    return insertion_deletion_of(
        model, source, index, np.asarray(maps, dtype=np.float32), full, classes[:, None], method="", seed=seed,
        step=step or 2 * size, kernel=blur_kernel(blur_size, blur_sigma), batch=batch, device=images.device,
    )[0]  # fmt: skip


class _Normalised(Classifier):
    """A classifier of images that are normalised already."""

    def __init__(self, model: Any, size: int) -> None:
        self.model = model
        self.preprocessing: Any = SimpleNamespace(size=size, normalise=lambda images: images)

    def __call__(self, images: Tensor) -> Tensor:
        return self.model(images)


@dataclass(frozen=True)
class _Images:
    """Images in memory as a source of images; their ids are their indices."""

    images: Tensor

    @property
    def image_ids(self) -> np.ndarray:
        return np.arange(len(self.images))

    def pixels(self, indices: np.ndarray) -> Tensor:
        return self.images[torch.as_tensor(indices)]
