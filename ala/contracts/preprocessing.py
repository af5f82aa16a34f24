"""Define a model's input size and normalisation, and normalise cached images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NORMALISATIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    # CLIP's own statistics (Radford et al. 2021, as in open_clip's constants).
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # [-1, 1], as TensorFlow's MobileNets expect it.
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


@dataclass(frozen=True)
class Preprocessing:
    """Image size `size` in pixels and the per-channel `mean` and `std` of pixels in [0, 1]."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def named(cls, size: int, name: str) -> Preprocessing:
        """Build the preprocessing with the statistics `name` of :data:`NORMALISATIONS` at `size` pixels."""
        mean, std = NORMALISATIONS[name]
        return cls(size, mean, std)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Normalise pixels uint8 `(B, 3, S, S)` in 0..255 to float32 `(B, 3, S, S)`; 0 is the mean colour."""
        mean = torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(1, 3, 1, 1)
        return (pixels.float() / 255 - mean) / std
