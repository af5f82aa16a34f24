"""Attention rollout: the attention of all blocks multiplied, residual connections included (Abnar and Zuidema 2020)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ala.explainers.tokens import attention_weights, blocks_of, in_parts, prefix_of, reads_class_token, token_row


class AttentionRollout:
    """Product over blocks of (mean over heads of A + I) / 2, whose rows sum to 1."""

    label = "attention rollout"
    class_agnostic = True

    def __init__(self, model: Any, batch: int = 64) -> None:
        self.model, self.batch, self.blocks = model, batch, blocks_of(model, "attention-rollout")

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Maps `(B, g, g)` of the patches' grid."""
        return in_parts(images, targets, self.batch, self._maps)

    @torch.inference_mode()
    def _maps(self, images: Tensor, targets: Tensor) -> Tensor:
        with attention_weights(self.blocks) as found:
            self.model(images)
        return token_row(rollout(found), prefix_of(self.model), reads_class_token(self.model))


def rollout(weights: list[Tensor]) -> Tensor:
    """Multiply the attention weights `(B, heads, n, n)` of blocks, the first one first: `(B, n, n)`."""
    n = weights[0].shape[-1]
    identity = torch.eye(n, device=weights[0].device)
    product = identity.expand(len(weights[0]), n, n)  # (B, n, n)
    for one in weights:
        step = (one.mean(dim=1) + identity) / 2  # (B, n, n)
        product = step / step.sum(dim=-1, keepdim=True) @ product
    return product
