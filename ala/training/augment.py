"""Augment a batch of images on the device that trains (METHODS 1.5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ala.config.schema import Augment

_SMOOTH = torch.tensor([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) / 13  # Pillow's SMOOTH filter


def augmented(pixels: Tensor, size: int, settings: Augment, generator: torch.Generator) -> Tensor:
    """Augment pixels `(B, 3, R, R)` in 0..255, R >= size: float32 `(B, 3, size, size)` in 0..255.

    In this order, each image by its own draws from `generator` (a CPU generator, so that a seed means the same on every
    device): crop at a random place, mirror, blur, sharpen.
    """
    n, device = len(pixels), pixels.device
    room = pixels.shape[-1] - size
    if room:
        corners = torch.randint(room + 1, (n, 2), generator=generator).tolist()
        pixels = torch.stack([p[:, y : y + size, x : x + size] for p, (y, x) in zip(pixels, corners, strict=True)])
    out = pixels.float()  # (B, 3, S, S)

    def chosen(share: float) -> Tensor:
        return (torch.rand(n, generator=generator) < share).nonzero()[:, 0].to(device)

    flip = chosen(settings.hflip)
    out = out.index_copy(0, flip, out[flip].flip(-1))
    if settings.blur:
        rows = chosen(settings.blur)
        sigma = torch.rand(n, generator=generator).to(device)[rows] * 4.9 + 0.1
        out = out.index_copy(0, rows, blurred(out[rows], sigma))
    if settings.sharpen:
        rows = chosen(settings.sharpen)
        out = out.index_copy(0, rows, sharpened(out[rows], 1.5))
    return out


def blurred(pixels: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image of float `(B, 3, S, S)` by a 5x5 Gaussian of its own `sigma` `(B,)` pixels, borders mirrored."""
    if not len(pixels):
        return pixels
    at = torch.arange(-2.0, 3.0, device=pixels.device)
    kernel = torch.exp(-0.5 * (at / sigma[:, None]) ** 2)  # (B, 5)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None]  # (B*3, 1, 5)
    x = F.pad(pixels, (2, 2, 2, 2), mode="reflect").flatten(0, 1)[None]  # (1, B*3, S+4, S+4)
    x = F.conv2d(x, kernel[:, :, None, :], groups=len(kernel))
    return F.conv2d(x, kernel[:, :, :, None], groups=len(kernel))[0].unflatten(0, (-1, 3))


def sharpened(pixels: Tensor, factor: float) -> Tensor:
    """Sharpen: `factor` times the image plus (1 - factor) times its 3x3 smoothing, in 0..255, except border pixels."""
    kernel = _SMOOTH.to(pixels).expand(3, 1, 3, 3)
    smooth = pixels.clone()
    if len(pixels):
        smooth[..., 1:-1, 1:-1] = F.conv2d(pixels, kernel, groups=3)
    return (smooth + factor * (pixels - smooth)).clamp(0, 255)
