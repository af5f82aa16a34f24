"""Raw attention: what the last read block's attention takes from each patch (Abnar and Zuidema, ACL 2020)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ala.explainers.tokens import attention_weights, blocks_of, in_parts, prefix_of, reads_class_token, token_row


class RawAttention:
    """Mean over heads of the attention weights of the last block that the prediction runs through.

    The row is the class token's where the prediction is made from it, else the mean over the patches' rows
    (METHODS 9).
    """

    label = "raw attention"
    class_agnostic = True

    def __init__(self, model: Any, batch: int = 64) -> None:
        self.model, self.batch, self.blocks = model, batch, blocks_of(model, "raw-attention")

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Maps `(B, g, g)` of the patches' grid."""
        return in_parts(images, targets, self.batch, self._maps)

    @torch.inference_mode()
    def _maps(self, images: Tensor, targets: Tensor) -> Tensor:
        with attention_weights(self.blocks[-1:]) as found:
            self.model(images)
        mean = found[0].mean(dim=1)  # (B, n, n)
        return token_row(mean, prefix_of(self.model), reads_class_token(self.model))
