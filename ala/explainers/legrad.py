"""LeGrad: what each block's attention would have to give more of (Bousselham et al., ICCV 2025)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ala.explainers.tokens import as_map, attention_weights, blocks_of, in_parts, prefix_of, token_outputs
from ala.utils.errors import UserError


class LeGrad:
    """Mean over blocks, heads and queries of the positive gradient of a block's own similarity to the class text.

    The tokens of each block are averaged, normalised and projected as the encoder does with those of the last one; the
    cosine similarity of the result to the class's text is differentiated with respect to that block's attention.

    Args:
        model: the frozen encoder with class texts, :class:`ala.model.zero_shot.ZeroShotModel`.
        batch: images per forward pass.

    Raises:
        UserError: the model has no class texts.
    """

    label = "LeGrad"

    def __init__(self, model: Any, batch: int = 64) -> None:
        if getattr(model.encoder, "text_features", None) is None or hasattr(model, "adapter"):
            raise UserError(
                "methods: legrad compares blocks with class texts, which only `clip` has; write legrad@clip"
            )
        self.model, self.batch, self.blocks = model, batch, blocks_of(model, "legrad")

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Maps `(B, g, g)` of the patches' grid."""
        return in_parts(images, targets, self.batch, self._maps)

    @torch.enable_grad()
    def _maps(self, images: Tensor, targets: Tensor) -> Tensor:
        encoder = self.model.encoder
        with attention_weights(self.blocks) as weights, token_outputs(self.blocks) as outputs:
            self.model.logits(images)
        texts = F.normalize(encoder.text_features[targets], dim=-1)  # (B, D)
        total = torch.zeros(len(images), weights[0].shape[-1], device=images.device)  # (B, n)
        for one, tokens in zip(weights, outputs, strict=True):
            pooled = encoder.network.fc_norm(encoder.network.norm(tokens.mean(dim=1)))  # (B, C)
            similarity = (F.normalize(encoder.head(pooled), dim=-1) * texts).sum()
            (gradient,) = torch.autograd.grad(similarity, one, retain_graph=True)  # (B, heads, n, n)
            total = total + gradient.clamp(min=0).mean(dim=(1, 2))
        return as_map(total[:, prefix_of(self.model) :] / len(weights))
