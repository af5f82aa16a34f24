"""Class activation maps (Zhou et al. 2016), the guide from which F-CAM draws its seeds."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def class_activation(features: Tensor, weight: Tensor, classes: Tensor) -> Tensor:
    """The CAM of one class per image, scaled to [0, 1] (METHODS 4.1).

    M_c(p) = sum_k w_ck A_k(p), then min-max per image. The bias shifts all positions alike and drops out.

    Args:
        features: A, the features before global average pooling, `(B, C, g, g)`.
        weight: w, of the linear layer after it, `(K, C)`.
        classes: int64 `(B,)`, the class of each image.

    Returns:
        `(B, g, g)` in [0, 1]; all zero where the CAM is constant.
    """
    maps = torch.einsum("bc,bchw->bhw", weight[classes], features)  # (B, g, g)
    return min_max(maps)


def min_max(maps: Tensor) -> Tensor:
    """Each map of `(B, h, w)` scaled to [0, 1]; a constant map becomes zero."""
    low = maps.amin((1, 2), keepdim=True)
    span = maps.amax((1, 2), keepdim=True) - low
    return torch.where(span > 0, (maps - low) / torch.where(span > 0, span, 1), 0.0)


def resize_maps(maps: Tensor, size: int) -> Tensor:
    """Maps `(B, h, w)` resized bilinearly to `(B, size, size)`."""
    return F.interpolate(maps[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]
