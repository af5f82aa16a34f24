"""The CRF loss, which assigns neighbours of similar colour to one region (METHODS 4.3, 4.5)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ala.config.schema import FcamCrf


def crf_loss(probabilities: Tensor, pixels: Tensor, settings: FcamCrf) -> Tensor:
    """Dense-CRF energy with the exact kernel, on maps scaled down by `settings.scale`.

    L = -(lambda / s^4) (1/B) sum_b sum_k S_k' A S_k with A_ij = exp(-|p_i - p_j|^2 / 2 sigma_xy^2
    - |I_i - I_j|^2 / 2 sigma_rgb^2). The maps are scaled bilinearly, the images by nearest neighbour, sigma_xy with
    them; the sum runs over pairs of pixels, of which s^4 are left, hence the factor.

    Args:
        probabilities: S, softmax over the classes, `(B, K, H, W)`.
        pixels: the same crop, raw colours 0..255, `(B, 3, H, W)`.
        settings: weight, sigmas, scale, and how many images' kernels are held at once.
    """
    height, width = (max(1, round(length * settings.scale)) for length in probabilities.shape[-2:])
    maps = probabilities
    if (height, width) != tuple(probabilities.shape[-2:]):
        maps = F.interpolate(probabilities, size=(height, width), mode="bilinear", align_corners=False)
    features = bilateral_features(pixels, height, width, settings.sigma_rgb, settings.sigma_xy * settings.scale)
    energy = _PairEnergy.apply(maps.flatten(2), features.to(maps.dtype), settings.chunk)
    return settings.weight * settings.scale**-4 * energy


def bilateral_features(pixels: Tensor, height: int, width: int, sigma_rgb: float, sigma_xy: float) -> Tensor:
    """Features `(B, hw, 5)` whose squared distances, halved and negated, are the exponents of A.

    Args:
        pixels: `(B, 3, H, W)`, 0..255; taken by nearest neighbour to (height, width).
        sigma_xy: in pixels of the scaled image.
    """
    colours = (
        F.interpolate(pixels.float(), size=(height, width), mode="nearest-exact").flatten(2) / sigma_rgb
    )  # (B, 3, hw)
    rows = torch.arange(height, device=pixels.device, dtype=torch.float32) / sigma_xy
    columns = torch.arange(width, device=pixels.device, dtype=torch.float32) / sigma_xy
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).flatten(1)  # (2, hw)
    features = torch.cat([colours, places.expand(len(pixels), -1, -1)], 1)
    # Distances do not change by a shift; small numbers lose less when products are subtracted below.
    features = features - features.mean(2, keepdim=True)
    return features.transpose(1, 2).contiguous()


# exp(-50) is 2e-22, nothing beside a pixel's own 1. Smaller values would become denormal numbers, which make exp and
# the product after it 25 times slower on CPUs.
_FLOOR = -50.0


class _PairEnergy(torch.autograd.Function):
    """-(1/B) sum_b sum_k S_k' A_b S_k for S `(B, K, N)` and features `(B, N, D)` of A.

    A is symmetric, so the gradient is -(2/B) A S: A is used once, in the forward pass, and never kept.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, features: Tensor, chunk: int) -> Tensor:
        batch, _, n = maps.shape
        smoothed = torch.empty_like(maps)  # A S, (B, K, N)
        room = maps.new_empty(min(chunk, batch), n, n)  # used again by every chunk
        for start in range(0, batch, chunk):
            part = features[start : start + chunk]
            # |a - b|^2 = |a|^2 + |b|^2 - 2ab, as one product of lengthened vectors.
            half = part.square().sum(2, keepdim=True) / 2  # (b, N, 1)
            one = torch.ones_like(half)
            left, right = torch.cat([part, -half, one], 2), torch.cat([part, one, -half], 2)
            kernel = room[: len(part)]  # (b, N, N)
            torch.bmm(left, right.transpose(1, 2), out=kernel)
            kernel.clamp_(min=_FLOOR).exp_()
            torch.bmm(maps[start : start + chunk], kernel, out=smoothed[start : start + chunk])
        ctx.save_for_backward(smoothed)
        return -(maps * smoothed).sum() / len(maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (smoothed,) = ctx.saved_tensors
        return gradients[0] * (-2 / len(smoothed)) * smoothed, None, None
