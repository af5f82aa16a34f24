"""The full image: the baseline map that says "everything" (METHODS 5.4)."""

from __future__ import annotations

import torch
from torch import Tensor


class Full:
    """1 everywhere. A map of one value has no threshold that means "all of it", so it is the prediction itself."""

    label = "full image"
    explains = "nothing"
    class_agnostic = binary = shared = True

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """One map for all images: `(1, 1, 1)`."""
        return torch.ones(1, 1, 1)
