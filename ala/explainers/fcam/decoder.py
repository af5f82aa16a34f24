"""The decoder: a U-Net from a pyramid of frozen features to two logits per pixel (METHODS 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ala.utils.errors import UserError


def resize_to(features: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Resize `(B, C, h, w)` bilinearly with aligned corners, if its size is not `size` already."""
    if features.shape[-2:] == tuple(size):
        return features
    return F.interpolate(features, size=tuple(size), mode="bilinear", align_corners=True)


class Block(nn.Module):
    """Double the size (nearest), meet the skip's size, append the skip, then twice convolution, BatchNorm, ReLU."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (inputs + skip, outputs):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        """`(B, C, h, w)` and a skip `(B, C', h', w')` to `(B, C'', h', w')`; without a skip to twice the size."""
        features = F.interpolate(features, scale_factor=2, mode="nearest")
        if skip is not None:
            features = torch.cat([resize_to(features, skip.shape[-2:]), skip], 1)
        return self.layers(features)


class Decoder(nn.Module):
    """U-Net decoder for any pyramid.

    One block per level below the coarsest, which is where it starts, and one more without a skip unless the finest
    level already has the input's size. What then still differs from the input's size is resized (bilinear).

    Args:
        channels: C_i of the pyramid, fine to coarse.
        strides: input pixels per cell, of the same levels.
        widths: channels of the blocks in the order they run.

    Raises:
        UserError: `widths` has not one entry per block.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        skips = [*reversed(channels[:-1]), *([0] if strides[0] > 1 else [])]
        if len(widths) != len(skips):
            raise UserError(
                f"fcam.decoder_channels {list(widths)} names {len(widths)} blocks; this backbone's pyramid has"
                f" {len(channels)} levels (strides {list(strides)}) and needs {len(skips)}"
            )
        inputs = [channels[-1], *widths[:-1]]
        self.blocks = nn.ModuleList(
            Block(width, skip, output) for width, skip, output in zip(inputs, skips, widths, strict=True)
        )
        self.head = nn.Conv2d(widths[-1], 2, 3, padding=1)
        self._start()

    def _start(self) -> None:
        """Initial weights: Kaiming-uniform in the blocks, Xavier-uniform in the head."""
        for module in self.blocks.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, levels: Sequence[Tensor], size: int) -> Tensor:
        """Levels `(B, C_i, h_i, w_i)`, fine to coarse, to logits `(B, 2, size, size)`: 0 background, 1 foreground."""
        *fine, features = levels
        for index, block in enumerate(self.blocks):
            skip = fine[-1 - index] if index < len(fine) else None
            features = block(features, skip)  # (B, widths[index], h, w)
        return resize_to(self.head(features), (size, size))
