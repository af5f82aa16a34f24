"""A Gaussian around the image's middle: the baseline map that knows where photographers point (METHODS 5.4)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Center:
    """Standard deviation a quarter of the image size; mean + std selects a disc of 19 % of the image."""

    label = "centred Gaussian"
    explains = "nothing"
    class_agnostic = shared = True

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """One map for all images: `(1, S, S)`, 1 in the middle."""
        size = images.shape[-1]
        at = (np.arange(size) + 0.5) / size - 0.5  # pixel centres, 0 in the middle
        profile = np.exp(-(at**2) / (2 * 0.25**2))
        return torch.from_numpy(np.outer(profile, profile)[None].astype(np.float32))  # (1, S, S)
