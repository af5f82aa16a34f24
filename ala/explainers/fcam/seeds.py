"""Draw seeds, the few labelled pixels per image that train the decoder, again at every step (METHODS 4.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ala.config.schema import FcamSeeds

IGNORED = -100  # torch's default ignore_index
BACKGROUND, FOREGROUND = 0, 1


def draw_seeds(cams: Tensor, settings: FcamSeeds, generator: torch.Generator) -> Tensor:
    """Draw foreground and background seeds from CAMs.

    Foreground: pixels drawn uniformly where the 8-bit CAM exceeds its Otsu threshold (kept within [1, 254]), after
    one erosion, which is undone where it leaves nothing. Background: pixels drawn uniformly from the lowest
    `background_share` of the CAM (ties with the last of them count as low). Each is dilated to a square; where
    foreground and background meet, and everywhere else, the pixel is ignored. A CAM without two grey levels says
    nothing, so its image gets no seeds in this step.

    Args:
        cams: `(B, H, W)` in [0, 1], at the decoder's output size.
        settings: how many, how large.
        generator: of the CPU; the same draws on every device.

    Returns:
        int64 `(B, H, W)`: 1 foreground, 0 background, -100 ignored.
    """
    batch, height, width = cams.shape
    grey = (cams.clamp(0, 1) * 255).to(torch.uint8)  # (B, H, W)
    flat = grey.flatten(1)  # (B, HW)
    varies = (flat.amax(1) > flat.amin(1))[:, None]  # (B, 1)

    threshold = otsu(flat).clamp(1, 254)  # (B,)
    region = grey > threshold[:, None, None]  # (B, H, W)
    eroded = erode(region, settings.erode)
    kept = eroded.flatten(1).any(1)[:, None, None]
    region = torch.where(kept, eroded, region).flatten(1) & varies

    count = max(1, int(settings.background_share * height * width))
    level = cams.flatten(1).kthvalue(count, dim=1, keepdim=True).values  # (B, 1)
    low = (cams.flatten(1) <= level) & varies

    foreground = dilate(sample(region, settings.foreground, generator).view(batch, height, width), settings.dilate)
    background = dilate(sample(low, settings.background, generator).view(batch, height, width), settings.dilate)
    seeds = torch.full((batch, height, width), IGNORED, dtype=torch.int64, device=cams.device)
    seeds[background & ~foreground] = BACKGROUND
    seeds[foreground & ~background] = FOREGROUND
    return seeds


def otsu(grey: Tensor) -> Tensor:
    """Otsu's threshold of each row: the grey level t that best separates values <= t from values > t.

    Args:
        grey: uint8 `(B, N)`.

    Returns:
        int64 `(B,)`, the smallest t of largest variance between the two groups; a constant row gives 0.
    """
    batch, n = grey.shape
    offset = torch.arange(batch, device=grey.device)[:, None] * 256
    counts = torch.bincount((grey.long() + offset).flatten(), minlength=batch * 256).view(batch, 256)
    values = torch.arange(256, device=grey.device)
    below = counts.cumsum(1)  # (B, 256) pixels <= t
    above = n - below
    sum_below = (counts * values).cumsum(1)
    # Difference of the two means times below * above, in exact integers, so that equally good thresholds are equal.
    gap = sum_below * n - sum_below[:, -1:] * below
    return (gap.double() ** 2 / (below * above).clamp(min=1)).argmax(1)


def sample(allowed: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """Mark `number` pixels per row, drawn uniformly from those allowed, none twice (fewer if there are fewer).

    Args:
        allowed: bool `(B, N)`.

    Returns:
        bool `(B, N)`.
    """
    keys = torch.rand(allowed.shape, generator=generator, dtype=torch.float64).to(allowed.device)
    keys = torch.where(allowed, keys, -1.0)
    best = keys.topk(min(number, allowed.shape[1]), dim=1)
    return torch.zeros_like(allowed).scatter_(1, best.indices, best.values >= 0)


def dilate(mask: Tensor, width: int) -> Tensor:
    """Dilate bool `(B, H, W)` by a `width` x `width` square (odd). Two passes, as the square is separable."""
    pad = width // 2
    wide = F.max_pool2d(mask[:, None].float(), (1, width), stride=1, padding=(0, pad))
    return F.max_pool2d(wide, (width, 1), stride=1, padding=(pad, 0))[:, 0] > 0


def erode(mask: Tensor, width: int) -> Tensor:
    """Erode bool `(B, H, W)` by a `width` x `width` square (odd); what lies outside the image erodes nothing."""
    return ~dilate(~mask, width)
