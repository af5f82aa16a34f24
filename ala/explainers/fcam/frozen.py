"""Compute features and CAMs of the frozen classifier, once per image where memory and augmentation allow."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ala.data.image_cache import ImageCache
from ala.explainers.fcam.classifier import CamClassifier, Pyramid
from ala.utils.fitting import Halving
from ala.utils.progress import track

CACHE_BYTES = 2 * 1024**3  # beyond this, features are computed again in every step


class FrozenFeatures:
    """Levels of the pyramid and true-class CAMs of training batches.

    When mirroring is the only augmentation, an image has two forms only, and both are computed beforehand if the
    features fit into `limit` bytes.

    Args:
        classifier: trained; is put in eval mode, with no parameter that requires a gradient.
        train: the training images.
        crop: size of what the network sees; smaller than `train.size` means random crops.
        batch: images per forward pass.
        limit: bytes for the cache.

    Attributes:
        cached: whether the features were computed beforehand.
    """

    def __init__(
        self, classifier: CamClassifier, train: ImageCache, crop: int, batch: int, limit: int = CACHE_BYTES
    ) -> None:
        classifier.eval().requires_grad_(False)
        self._classifier = classifier
        self._device = next(classifier.parameters()).device
        self._labels = torch.from_numpy(train.labels)
        self._levels: list[Tensor] = []  # each (2, n, h_i, w_i, C_i): channels last, index 1 mirrored
        self._cams: Tensor | None = None  # (2, n, g, g)
        self._halving = Halving()
        if crop == train.size:
            self._fill(train, batch, limit)
        self.cached = self._cams is not None

    def _fill(self, train: ImageCache, batch: int, limit: int) -> None:
        levels, cams = self._compute(train.pixels([0]), self._labels[:1])
        count = len(train)
        if 2 * count * 4 * (sum(level.numel() for level in levels) + cams.numel()) > limit:
            return
        try:
            self._levels = [level.new_empty(2, count, *level.shape[2:], level.shape[1]) for level in levels]
            self._cams = cams.new_empty(2, count, *cams.shape[1:])
        except torch.OutOfMemoryError:
            self._levels, self._cams = [], None
            print("the device has no room for F-CAM's frozen features: they are computed again in every step")
            return
        for start in track(range(0, count, batch), "F-CAM frozen features", unit="batch"):
            part = slice(start, start + batch)
            pixels = train.pixels(part)
            for flip in (0, 1):
                levels, cams = self._compute(pixels.flip(3) if flip else pixels, self._labels[part])
                self._cams[flip, part] = cams
                for cache, level in zip(self._levels, levels, strict=True):
                    cache[flip, part] = level.permute(0, 2, 3, 1)

    def _compute(self, pixels: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor]:
        """Compute levels and CAMs in parts that fit the device's memory; images are independent."""
        found = self._halving(0, len(pixels), lambda start, stop: self._forward(pixels[start:stop], labels[start:stop]))
        if len(found) == 1:
            return found[0]
        levels = [torch.cat(level) for level in zip(*(levels for levels, _ in found), strict=True)]
        return levels, torch.cat([cams for _, cams in found])

    @torch.no_grad()
    def _forward(self, pixels: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor]:
        images = self._classifier.preprocessing.normalise(pixels.to(self._device))
        pyramid: Pyramid = self._classifier.pyramid(images)
        return pyramid.levels, self._classifier.cam(pyramid.last, labels.to(self._device))

    def __call__(self, indices: np.ndarray, flipped: np.ndarray, pixels: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features of the images `indices`, mirrored where bool `flipped` is true, which cropped and mirrored are
        `pixels` (uint8 `(B, 3, S, S)`).

        Returns:
            Levels, fine to coarse, each `(B, C_i, h_i, w_i)`, and true-class CAMs `(B, g, g)` in [0, 1]; no gradients.
        """
        index = torch.from_numpy(indices)
        if self._cams is None:
            return self._compute(pixels, self._labels[index])
        index, flips = index.to(self._device), torch.from_numpy(flipped).long().to(self._device)
        return [level[flips, index].permute(0, 3, 1, 2) for level in self._levels], self._cams[flips, index]
