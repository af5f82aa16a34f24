"""Uniform noise: the baseline map that knows nothing (METHODS 5.4)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ala.utils.seeds import numpy_generator


class Noise:
    """Uniform in [0, 1), independent on a grid as fine as ALA's map.

    Args:
        seed: of the run; an image's map follows from it and the image's id alone.
        grid: cells per axis.
    """

    label = "uniform noise"
    explains = "nothing"
    class_agnostic = True

    def __init__(self, seed: int, grid: int) -> None:
        self.seed, self.grid = seed, grid

    def explain(self, images: Tensor, targets: Tensor, ids: np.ndarray) -> Tensor:
        """Maps `(B, grid, grid)`."""
        streams = [numpy_generator(self.seed, "noise", int(image)) for image in ids]
        return torch.from_numpy(np.stack([one.random((self.grid, self.grid), np.float32) for one in streams]))
