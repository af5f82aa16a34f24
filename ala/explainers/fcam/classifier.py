"""F-CAM's classifier: a backbone, global average pooling and one linear layer (WGAP, METHODS 4.1)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ala.config.schema import Fcam as Settings
from ala.contracts.preprocessing import Preprocessing
from ala.explainers.fcam.backbone import NORMS, build_backbone
from ala.explainers.fcam.cam import class_activation
from ala.utils.errors import UserError


class Pyramid(NamedTuple):
    """What the backbone computes for a batch.

    Attributes:
        levels: feature maps from fine to coarse, each `(B, C_i, h_i, w_i)`; the decoder reads them.
        last: the features before pooling, `(B, C, g, g)`; the CAM is made of them. For a ResNet it is the last level.
    """

    levels: list[Tensor]
    last: Tensor


class CamClassifier(nn.Module):
    """Logits by GAP and a linear layer, and the class activation maps that this head defines.

    Args:
        settings: the `fcam` block.
        classes: K.
        weights: False for a caller who loads its own weights (see :func:`build_backbone`).
        file: the backbone's weights, in place of timm's own source.

    Attributes:
        preprocessing: what a normalised image is.
        channels: C_i of the levels, fine to coarse.
        strides: input pixels per cell of the levels.

    Raises:
        UserError: see :func:`build_backbone`, and if the network does not reach `output_stride`.
    """

    def __init__(self, settings: Settings, classes: int, weights: bool = True, file: Path | None = None) -> None:
        super().__init__()
        self.backbone = build_backbone(settings, weights, file)
        self.freeze_norms = settings.freeze_norms
        self.preprocessing = Preprocessing.named(settings.input_size, settings.norm)
        size = settings.input_size
        with torch.no_grad():
            self.backbone.eval()
            pyramid = self._pyramid(torch.zeros(1, 3, size, size))
        maps = [*pyramid.levels, pyramid.last]
        if any(level.ndim != 4 for level in maps):
            raise UserError(
                f"fcam.backbone {settings.backbone} gives tokens, not feature maps; choose a convolutional network"
            )
        grid = pyramid.last.shape[-1]
        if grid != math.ceil(size / settings.output_stride):
            raise UserError(
                f"fcam.backbone {settings.backbone} has a {grid} x {grid} map at {size} px, which is no output stride"
                f" of {settings.output_stride}; set it to {round(size / grid)} or choose another backbone"
            )
        self.channels = [level.shape[1] for level in pyramid.levels]
        self.strides = [round(size / level.shape[-1]) for level in pyramid.levels]
        self.head = nn.Linear(pyramid.last.shape[1], classes)
        self.train()

    def train(self, mode: bool = True) -> CamClassifier:
        """Switch to training; with `freeze_norms` the BatchNorms keep the statistics they were loaded with."""
        super().train(mode)
        if self.freeze_norms:
            for module in self.modules():
                if isinstance(module, NORMS):
                    module.eval()
        return self

    def _pyramid(self, images: Tensor) -> Pyramid:
        last, levels = self.backbone.forward_intermediates(images)  # type: ignore[operator]
        return Pyramid(list(levels), last)

    def pyramid(self, images: Tensor) -> Pyramid:
        """Normalised images `(B, 3, S, S)` to feature maps."""
        return self._pyramid(images)

    def logits(self, last: Tensor) -> Tensor:
        """Features before pooling `(B, C, g, g)` to class logits `(B, K)`."""
        return self.head(last.mean((2, 3)))

    def cam(self, last: Tensor, classes: Tensor) -> Tensor:
        """Features before pooling `(B, C, g, g)` and classes `(B,)` to CAMs `(B, g, g)` in [0, 1], without gradient."""
        return class_activation(last.detach(), self.head.weight.detach(), classes)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images `(B, 3, S, S)` to class logits `(B, K)`."""
        return self.logits(self._pyramid(images).last)

    def late_parameters(self) -> list[nn.Parameter]:
        """Parameters of the head and of the backbone from its last stage on (a ResNet's layer4).

        Raises:
            UserError: timm does not tell where the last stage begins.
        """
        stage = str(self.backbone.feature_info[-1]["module"])  # type: ignore[index]
        late: list[nn.Parameter] = []
        for name, parameter in self.backbone.named_parameters():
            if late or name.startswith(f"{stage}."):
                late.append(parameter)
        if not late:
            raise UserError(
                f"fcam.backbone: timm names no last stage of this network ({stage!r} has no parameters);"
                " set fcam.classifier.head_lr_factor to 1 or choose another backbone"
            )
        return [*late, *self.head.parameters()]
