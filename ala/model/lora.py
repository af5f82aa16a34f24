"""LoRA in one executed block of the encoder, on top of the copied weights (METHODS 2.7, 8; Hu et al. 2021)."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ala.config.schema import Lora
from ala.utils.errors import UserError


class LowRank(nn.Module):
    """Low-rank update of W `(out, in)`: W + (alpha / rank) * up @ down; `up` starts at 0, so W starts unchanged."""

    def __init__(self, weight: Tensor, settings: Lora) -> None:
        super().__init__()
        self.down = nn.Parameter(weight.new_empty(settings.rank, weight.shape[1]))
        self.up = nn.Parameter(weight.new_zeros(weight.shape[0], settings.rank))
        self.scale = settings.alpha / settings.rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.up @ self.down)


class LoraEncoder(nn.Module):
    """A copy of `encoder` whose block `settings.block` (from 0; its result is tap block + 1) learns a low-rank update.

    Only the update's parameters require a gradient; the linear maps `mlp.c_fc`, `mlp.c_proj` and `attn.out_proj` have
    one each. :meth:`taps` keeps the graph where gradients are enabled, everything else is as in the encoder.

    Raises:
        UserError: the encoder is no Vision Transformer, has no such block, or `taps` (those that are read) end before
            the block, where it could change nothing.
    """

    def __init__(self, encoder: Any, settings: Lora, taps: Collection[int]) -> None:
        super().__init__()
        if not hasattr(encoder, "blocks"):
            raise UserError(f"ala.lora needs a transformer encoder, not {type(encoder).__name__}; set ala.lora to null")
        if settings.block >= min(len(encoder.blocks), max(taps)):
            raise UserError(
                f"ala.lora.block ({settings.block}) is not executed: the last tap read is {max(taps)}, so choose a"
                f" block from 0 to {min(len(encoder.blocks), max(taps)) - 1}"
            )
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        block = self.encoder.blocks[settings.block]
        for linear in (block.mlp.c_fc, block.mlp.c_proj, block.attn.out_proj):
            parametrize.register_parametrization(linear, "weight", LowRank(linear.weight, settings))
        self.preprocessing, self.grid, self.tap_channels = encoder.preprocessing, encoder.grid, encoder.tap_channels

    def taps(self, images: Tensor, wanted: Collection[int]) -> dict[int, Tensor]:
        """The wanted taps `{i: (B, C, g, g)}` of normalised `(B, 3, S, S)`, differentiable in the update."""
        found = self.encoder.tokens(images, sorted(wanted))
        return {tap: self.encoder.as_map(found[tap]).float() for tap in wanted}

    def update(self) -> dict[str, nn.Parameter]:
        """The trained parameters by name."""
        return {name: value for name, value in self.encoder.named_parameters() if value.requires_grad}

    def load_update(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the parameters that :meth:`update` returned."""
        with torch.no_grad():
            for name, parameter in self.update().items():
                parameter.copy_(tensors[name])
