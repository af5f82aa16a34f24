"""Attention x gradient: the self-attention rules of Chefer, Gur and Wolf (ICCV 2021)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ala.explainers.tokens import (
    attention_weights,
    blocks_of,
    class_scores,
    in_parts,
    prefix_of,
    reads_class_token,
    token_row,
)


class AttentionGradient:
    """R begins as I; each block adds A' R, where A' is the mean over heads of the positive part of gradient times A.

    The gradient is that of the target class's logit. All blocks that the prediction runs through count.
    """

    label = "attention × gradient"

    def __init__(self, model: Any, batch: int = 64) -> None:
        self.model, self.batch, self.blocks = model, batch, blocks_of(model, "attention-gradient")

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Maps `(B, g, g)` of the patches' grid."""
        return in_parts(images, targets, self.batch, self._maps)

    @torch.enable_grad()
    def _maps(self, images: Tensor, targets: Tensor) -> Tensor:
        with attention_weights(self.blocks) as found:
            scores = class_scores(self.model, images, targets)  # (B,)
        gradients = torch.autograd.grad(scores.sum(), found)  # (B, heads, n, n) each
        relevance = relevances(list(found), list(gradients))
        return token_row(relevance, prefix_of(self.model), reads_class_token(self.model))


def relevances(weights: list[Tensor], gradients: list[Tensor]) -> Tensor:
    """R `(B, n, n)` from attention weights and their gradients, `(B, heads, n, n)` of each block, the first one first.

    The identity, a token's relevance to itself, is taken out again: it says nothing of patches.
    """
    n = weights[0].shape[-1]
    identity = torch.eye(n, device=weights[0].device)
    relevance = identity.expand(len(weights[0]), n, n)  # (B, n, n)
    for one, gradient in zip(weights, gradients, strict=True):
        step = (gradient * one).clamp(min=0).mean(dim=1)  # (B, n, n)
        relevance = relevance + step @ relevance
    return relevance - identity
