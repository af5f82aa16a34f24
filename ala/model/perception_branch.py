"""Perception Branch: classifies the encoder's features as the attention map lets them through (METHODS 2.5)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from ala.config.schema import PerceptionSettings
from ala.model.side_branch import resized


class PerceptionBranch(nn.Module):
    """Map features `(B, C, h, w)` and alpha `(B, 1, g, g)` or None to logits `(B, K)`.

    x = alpha * h (`combine: alpha`) or (1 + alpha) * h (`one_plus_alpha`), alpha resized to h's grid if it differs;
    alpha None means alpha = 1 everywhere, an *off* epoch of AEA. With `inputs: clip+sbn` the SBN's image tokens,
    projected by Conv1x1, are added to x; where the SBN is not called (off epochs) or absent, x stays as it is.
    Then per entry of `channels` Conv3x3, norm, ReLU, 2x2 max pooling (left out once a map is below 4 cells, so that
    small grids keep their layout), GAP, dropout, per entry of `hidden` Linear, norm, ReLU, and dropout, Linear to K.
    The author's first two linear layers have no norm (METHODS 2.5); here all are alike.

    `norm: group` normalises within each image (GroupNorm, LayerNorm in the MLP), so that off and on epochs do not
    share running statistics.

    Args:
        channels: C.
        side_channels: D of the SBN's image tokens, None if there is no SBN.
    """

    def __init__(self, channels: int, classes: int, settings: PerceptionSettings, side_channels: int | None) -> None:
        super().__init__()
        self.combine = settings.combine
        joined = settings.inputs == "clip+sbn" and side_channels is not None
        self.join = nn.Conv2d(side_channels, channels, 1) if joined and side_channels else None
        group = settings.norm == "group"
        sizes = [channels, *settings.channels]
        self.convs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1),
                          nn.GroupNorm(math.gcd(b, 8), b) if group else nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise(sizes)
        )  # fmt: skip
        head: list[nn.Module] = [nn.Dropout(settings.dropout)]
        sizes = [sizes[-1], *settings.hidden]
        for a, b in pairwise(sizes):
            head += [nn.Linear(a, b), nn.LayerNorm(b) if group else nn.BatchNorm1d(b), nn.ReLU()]
        self.head = nn.Sequential(*head, nn.Dropout(settings.dropout), nn.Linear(sizes[-1], classes))

    def forward(self, features: Tensor, alpha: Tensor | None, pixels: Tensor | None = None) -> Tensor:
        size = features.shape[-2:]
        gate = 1.0 if alpha is None else resized(alpha, size)  # (B, 1, h, w)
        x = features * (gate if self.combine == "alpha" else 1 + gate)  # (B, C, h, w)
        if self.join is not None and pixels is not None:
            x = x + resized(self.join(pixels), size)
        for conv in self.convs:
            x = conv(x)
            if min(x.shape[-2:]) >= 4:
                x = F.max_pool2d(x, 2)
        return self.head(x.mean((-2, -1)))
