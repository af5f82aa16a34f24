"""Grad-ECLIP: values of the last attention, weighted by channel and by place (Zhao et al., ICML 2024)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ala.explainers.tokens import (
    as_map,
    attention_parts,
    blocks_of,
    class_scores,
    in_parts,
    prefix_of,
    reads_class_token,
)


class GradEclip:
    """ReLU(sum over channels c of w_c l v_c) of each patch, at the attention of the last block that is run through.

    w is the gradient of the target class's logit with respect to the attention's result (before its projection) of the
    token that is read, v the patch's value, l the cosine of the token's query and the patch's key, min-max scaled over
    patches: looser than the softmax, which leaves few patches. Where patches are read instead of the class token, w l
    is their mean: the published rule for each of them.
    """

    label = "Grad-ECLIP"

    def __init__(self, model: Any, batch: int = 64) -> None:
        self.model, self.batch, self.blocks = model, batch, blocks_of(model, "grad-eclip")

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Maps `(B, g, g)` of the patches' grid."""
        return in_parts(images, targets, self.batch, self._maps)

    @torch.enable_grad()
    def _maps(self, images: Tensor, targets: Tensor) -> Tensor:
        with attention_parts(self.blocks[-1]) as found:
            scores = class_scores(self.model, images, targets)  # (B,)
        query, key, value, result = found  # (B, n, C) each
        (gradient,) = torch.autograd.grad(scores.sum(), result)  # (B, n, C)
        prefix = prefix_of(self.model)
        read = slice(0, 1) if reads_class_token(self.model) else slice(prefix, None)
        places = F.normalize(query[:, read], dim=-1) @ F.normalize(key[:, prefix:], dim=-1).mT  # (B, r, g²)
        low, high = places.amin(dim=-1, keepdim=True), places.amax(dim=-1, keepdim=True)
        loosened = (places - low) / (high - low).clamp(min=torch.finfo(places.dtype).tiny)
        weights = loosened.mT @ gradient[:, read] / loosened.shape[1]  # (B, g², C)
        return as_map((weights * value[:, prefix:]).sum(dim=-1).relu())
