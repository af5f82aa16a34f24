"""Grad-CAM on the tokens of a Vision Transformer (Selvaraju et al., ICCV 2017)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ala.explainers.tokens import as_map, blocks_of, class_scores, in_parts, prefix_of, reads_class_token, token_outputs


class GradCam:
    """The positive part of channels weighted by the mean over patches of the class logit's gradient: ReLU(sum w_c h_c).

    h is the result of the last block whose patch tokens the prediction reads: where it reads the class token alone,
    that is the last block but one, since the gradient of the last one's patches is 0.
    """

    label = "Grad-CAM"

    def __init__(self, model: Any, batch: int = 64) -> None:
        blocks = blocks_of(model, "grad-cam")
        self.block = blocks[-2] if reads_class_token(model) and len(blocks) > 1 else blocks[-1]
        self.model, self.batch = model, batch

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Maps `(B, g, g)` of the patches' grid."""
        return in_parts(images, targets, self.batch, self._maps)

    @torch.enable_grad()
    def _maps(self, images: Tensor, targets: Tensor) -> Tensor:
        with token_outputs([self.block]) as found:
            scores = class_scores(self.model, images, targets)  # (B,)
        (gradient,) = torch.autograd.grad(scores.sum(), found)  # (B, n, C)
        prefix = prefix_of(self.model)
        weights = gradient[:, prefix:].mean(dim=1, keepdim=True)  # (B, 1, C)
        return as_map((weights * found[0][:, prefix:]).sum(dim=-1).relu())
