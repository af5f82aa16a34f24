"""Self-attention of open_clip's blocks by PyTorch's fused kernel, without the copies around it.

`nn.MultiheadAttention` either takes its inference path, which stores the `(n, n)` weights of every head and is slow for
narrow heads on CPUs, or, with a gradient, cuts queries, keys and values apart by three selections, each of which fills
a zero tensor of all three on its way back. Here they are views of one product. Weights and their names stay.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.MultiheadAttention):
    """`(B, n, C)` to `(B, n, C)`; equal to its parent class on the same weights but for rounding."""

    def forward(  # type: ignore[override]
        self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """Attention of a sequence to itself.

        Args:
            query, key, value: one and the same tensor `(B, n, C)`.
            need_weights: must be false, the fused kernel does not keep them.
            attn_mask: `(n, n)`, added to the products, or None.

        Raises:
            ValueError: the three differ, or the weights are asked for.
        """
        if key is not query or value is not query or need_weights:
            raise ValueError("SelfAttention takes one tensor three times and gives no weights")
        packed = F.linear(query, self.in_proj_weight, self.in_proj_bias)  # (B, n, 3C)
        q, k, v = packed.unflatten(-1, (3, self.num_heads, -1)).transpose(1, 3).unbind(2)  # (B, heads, n, d) each
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)  # (B, heads, n, d)
        return F.linear(mixed.transpose(1, 2).flatten(2), self.out_proj.weight, self.out_proj.bias), None


def fuse_attention(model: nn.Module) -> None:
    """Make every plain `nn.MultiheadAttention` in `model` a :class:`SelfAttention`, in place; others stay.

    Plain means what open_clip's residual blocks hold: batch first, one width, no dropout and no extra key. Only
    modules called with one tensor may be meant, so hand over towers of such blocks alone.
    """
    for module in model.modules():
        if type(module) is nn.MultiheadAttention and _plain(module):
            module.__class__ = SelfAttention  # the same parameters under the same names, only another forward


def _plain(module: nn.MultiheadAttention) -> bool:
    return bool(
        module.batch_first
        and module._qkv_same_embed_dim
        and module.dropout == 0
        and module.bias_k is None
        and not module.add_zero_attn
    )
