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
    """A copy of `encoder` whose block `settings.block` (from 0; its result is feature block + 1) learns a low-rank
    update.

    Only the update's parameters require a gradient; the linear maps `mlp.fc1`, `mlp.fc2` and `attn.proj` have one
    each.

    Raises:
        UserError: the encoder is no Vision Transformer, has no such block, or `features` (those that are read) end
            before the block, where it could change nothing.
    """

    def __init__(self, encoder: Any, settings: Lora, features: Collection[int]) -> None:
        super().__init__()
        if encoder.blocks is None:
            raise UserError(
                f"ala.lora needs a Vision Transformer, not {encoder.description['name']}; set ala.lora to null"
            )
        if settings.block >= min(len(encoder.blocks), max(features)):
            raise UserError(
                f"ala.lora.block ({settings.block}) is not executed: the last feature read is {max(features)}, so"
                f" choose a block from 0 to {min(len(encoder.blocks), max(features)) - 1}"
            )
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        block = self.encoder.blocks[settings.block]
        for linear in (block.mlp.fc1, block.mlp.fc2, block.attn.proj):
            parametrize.register_parametrization(linear, "weight", LowRank(linear.weight, settings))
        self.preprocessing, self.grid, self.feature_channels = (
            encoder.preprocessing,
            encoder.grid,
            encoder.feature_channels,
        )

    def features(self, images: Tensor, wanted: Collection[int]) -> dict[int, Tensor]:
        """The wanted features `{i: (B, C, g, g)}` of normalised `(B, 3, S, S)`, differentiable in the update."""
        return self.encoder.features(images, wanted)

    def update(self) -> dict[str, nn.Parameter]:
        """The trained parameters by name."""
        parts = (".down", ".up")  # of LowRank
        return {name: value for name, value in self.encoder.named_parameters() if name.endswith(parts)}

    def load_update(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the parameters that :meth:`update` returned."""
        with torch.no_grad():
            for name, parameter in self.update().items():
                parameter.copy_(tensors[name])
