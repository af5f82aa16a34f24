"""The loss: CE(PB) + lambda * CE(AB); without attention CE(PB) alone (METHODS 2.6)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ala.model.adapter import AdapterOutput


def objective(output: AdapterOutput, labels: Tensor, lambda_ab: float) -> Tensor:
    """Mean cross-entropy over the batch, in float32 whatever the logits come in; `labels` int64 `(B,)`."""
    loss = F.cross_entropy(output.pb_logits.float(), labels)
    if output.ab_logits is None:
        return loss
    return loss + lambda_ab * F.cross_entropy(output.ab_logits.float(), labels)
