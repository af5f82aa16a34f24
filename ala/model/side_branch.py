"""Side Branch Network: a narrow ViT beside the frozen encoder that receives the encoder's features (METHODS 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ala.config.schema import SideBranchSettings


class SideOutput(NamedTuple):
    """`masks` M `(B, Q, g, g)`, unbounded logits; `pixels` `(B, D, g, g)`, the SBN's image tokens, or None."""

    masks: Tensor
    pixels: Tensor | None


class Block(nn.Module):
    """A pre-norm transformer block on tokens `(B, n, D)`."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        hidden = int(width * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, heads, n, d)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))  # (B, n, D)
        return x + self.mlp(self.norm2(x))


class FeatureProjection(nn.Module):
    """LayerNorm over the channels of each cell, then Conv1x1: `(B, C, h, w)` to `(B, out, h, w)`.

    The convolution is the same linear map on channels-last cells, and LayerNorm's scale and shift are folded into it:
    W (scale * x + shift) + b = (W * scale) x + (W shift + b). So no gradient is computed for the feature itself, which
    is larger than everything else here and, without LoRA, needs none.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.linear = nn.Linear(channels, out)
        nn.init.kaiming_uniform_(self.linear.weight, a=1)
        nn.init.zeros_(self.linear.bias)

    def forward(self, feature: Tensor) -> Tensor:
        norm, linear = self.norm, self.linear
        cells = F.layer_norm(feature.permute(0, 2, 3, 1), norm.normalized_shape, eps=norm.eps)  # (B, h, w, C)
        bias = linear.bias + linear.weight @ norm.bias
        return F.linear(cells, linear.weight * norm.weight, bias).permute(0, 3, 1, 2)  # (B, out, h, w)


class SideBranch(nn.Module):
    """`(images, {feature: h})` to mask logits.

    Tokens are Q learned queries followed by g*g patches of the image. Position embeddings (learned, for queries and
    patches) are added at the input and again after every block but the last; the patches' is resized (bicubic) where
    the image has another grid than it was made for. The encoder's feature i, normalised, projected and resized to the
    grid, is added to the *image tokens only* after side block `fusion_map[i]`, 0 meaning before the first block.
    SAN's attention-bias branch is left out: without a recognition head nothing reads it.

    Args:
        settings: `fusion_map` written out (:func:`ala.model.blueprint.written_out`).
        channels: channels of each feature in `fusion_map`.
        grid: grid size g of the image in patches that the position embedding is made for.
    """

    no_decay = ("queries", "query_position", "position")

    def __init__(self, settings: SideBranchSettings, channels: Mapping[int, int], grid: int) -> None:
        super().__init__()
        if settings.fusion_map == "all":
            raise TypeError("fusion_map must be written out as pairs; see ala.model.blueprint.written_out")
        width = settings.width
        self.fusion_map = dict(settings.fusion_map)
        self.embed = nn.Conv2d(3, width, settings.patch, stride=settings.patch)
        self.queries = nn.Parameter(torch.randn(1, settings.queries, width) * 0.02)
        self.query_position = nn.Parameter(torch.randn(1, settings.queries, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, width, grid, grid) * 0.02)
        self.blocks = nn.ModuleList(Block(width, settings.heads, settings.mlp_ratio) for _ in range(settings.depth))
        for block in self.blocks:
            for module in block.modules():
                if isinstance(module, nn.Linear):
                    nn.init.trunc_normal_(module.weight, std=0.02)
                    nn.init.zeros_(module.bias)
        self.fusions = nn.ModuleDict(
            {str(feature): FeatureProjection(channels[feature], width) for feature in sorted(self.fusion_map)}
        )
        self.query_mlp = _mlp(width, settings.decoder_width)
        self.pixel_mlp = _mlp(width, settings.decoder_width)

    def forward(self, images: Tensor, features: Mapping[int, Tensor]) -> SideOutput:
        """`images` normalised `(B, 3, S, S)`; `features` holds `(B, C, h, w)` for every key of `fusion_map`."""
        patches = self.embed(images)  # (B, D, g, g)
        size = patches.shape[-2:]
        position: Tensor = self.position  # (1, D, g0, g0)
        if position.shape[-2:] != size:
            position = F.interpolate(position, size, mode="bicubic", align_corners=False)
        position = torch.cat([self.query_position, position.flatten(2).mT], dim=1)  # (1, Q+n, D)
        tokens = torch.cat([self.queries.expand(len(images), -1, -1), patches.flatten(2).mT], dim=1)  # (B, Q+n, D)
        tokens = self._fuse(0, tokens + position, features, size)
        for number, block in enumerate(self.blocks, start=1):
            tokens = self._fuse(number, block(tokens), features, size)
            if number < len(self.blocks):
                tokens = tokens + position
        queries, pixels = tokens.split([self.queries.shape[1], size.numel()], dim=1)
        masks = self.query_mlp(queries) @ self.pixel_mlp(pixels).mT  # (B, Q, n)
        return SideOutput(masks.unflatten(-1, size), pixels.mT.unflatten(-1, size))

    def _fuse(self, number: int, tokens: Tensor, features: Mapping[int, Tensor], size: torch.Size) -> Tensor:
        chosen = [feature for feature, block in self.fusion_map.items() if block == number]
        if not chosen:
            return tokens
        # (B, D, g, g) each
        added = [resized(self.fusions[str(feature)](features[feature]), size) for feature in chosen]
        flat = sum(added[1:], added[0]).flatten(2).mT  # (B, n, D)
        queries, pixels = tokens.split([self.queries.shape[1], size.numel()], dim=1)
        return torch.cat([queries, pixels + flat], dim=1)  # (B, Q+n, D)


class SingleFeature(nn.Module):
    """Rows without SBN: M := Conv1x1(LN_channel(h^(layer))), one encoder layer (METHODS 2.8)."""

    no_decay = ()

    def __init__(self, layer: int, channels: int, queries: int) -> None:
        super().__init__()
        self.layer = layer
        self.project = FeatureProjection(channels, queries)

    def forward(self, images: Tensor, features: Mapping[int, Tensor]) -> SideOutput:
        return SideOutput(self.project(features[self.layer]), None)  # (B, Q, g, g)


class DirectFeature(nn.Module):
    """ABN: the attention branch reads h^(layer) as it is, and this part has nothing to learn (METHODS 8)."""

    no_decay = ()

    def __init__(self, layer: int) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, images: Tensor, features: Mapping[int, Tensor]) -> SideOutput:
        return SideOutput(features[self.layer], None)  # (B, C, g, g)


def resized(x: Tensor, size: torch.Size) -> Tensor:
    """`(B, C, h, w)` bilinearly at `size`; unchanged where it has that size."""
    return x if x.shape[-2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


def _mlp(width: int, hidden: int) -> nn.Sequential:
    sizes = [width, hidden, hidden, hidden]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
