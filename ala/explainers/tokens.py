"""Attention weights and tokens of a Vision Transformer, taken by hooks: what the explainers of transformers share.

Nothing of the network is changed and no second encoder is needed. While :func:`attention_weights` is open, blocks
compute their attention step by step instead of by the fused kernel; afterwards they are as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ala.utils.errors import UserError


def blocks_of(model: Any, name: str) -> list[nn.Module]:
    """The blocks that the prediction of `model` runs through, in order.

    Args:
        model: with an `encoder` (:class:`ala.encoders.encoder.Encoder`, or one with LoRA) and, of a trained adapter,
            `adapter`, whose deepest feature is the last block's.
        name: of the explainer, for the error.

    Raises:
        UserError: the encoder is no Vision Transformer whose attention can be read, or no block is run through.
    """
    encoder = _encoder(model)
    blocks = getattr(encoder, "blocks", None)
    if blocks is None or not all(hasattr(getattr(block, "attn", None), "attn_drop") for block in blocks):
        what = encoder.description["name"] if encoder is not None else "the explained model"
        raise UserError(
            f"methods: {name} reads the attention of a Vision Transformer, which {what} has not; take it out of"
            " `methods`, or choose another encoder"
        )
    adapter = getattr(model, "adapter", None)
    last = max(adapter.features(True)) if adapter is not None else len(blocks)
    if not last:
        raise UserError(f"methods: {name} needs a model that reads a block's result; this one reads feature 0 alone")
    return list(blocks[:last])


def _encoder(model: Any) -> Any:
    """The encoder of a model, within LoRA the one that has the update; None where there is none."""
    encoder = getattr(model, "encoder", None)
    return getattr(encoder, "encoder", encoder)


def prefix_of(model: Any) -> int:
    """The number of class and register tokens in front of the patches."""
    return int(_encoder(model).network.num_prefix_tokens)


def reads_class_token(model: Any) -> bool:
    """Whether the prediction is made from the class token alone: of a bare encoder that pools by it."""
    return getattr(model, "adapter", None) is None and _encoder(model).network.global_pool == "token"


@contextmanager
def attention_weights(blocks: list[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect the attention weights `(B, heads, n, n)` of each block of forward passes within; autograd can follow.

    The weights of the first block begin the graph: nothing before them requires a gradient.
    """
    found: list[Tensor] = []

    with ExitStack() as stack:
        for block in blocks:
            attention: Any = block.attn
            fused = attention.fused_attn
            attention.fused_attn = False
            stack.callback(setattr, attention, "fused_attn", fused)
            handle = attention.attn_drop.register_forward_hook(_keeper(found))
            stack.callback(handle.remove)
        yield found


@contextmanager
def token_outputs(blocks: list[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect the tokens `(B, n, C)` that each block gives in forward passes within; autograd can follow."""
    found: list[Tensor] = []

    with ExitStack() as stack:
        for block in blocks:
            stack.callback(block.register_forward_hook(_keeper(found)).remove)
        yield found


@contextmanager
def attention_parts(block: Any) -> Iterator[list[Tensor]]:
    """Collect query, key, value and result, heads side by side and before the projection, of a block's attention.

    Each is `(B, n, C)`; autograd can follow from the result on.
    """
    found: list[Tensor] = []

    def project(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.extend(output.detach().chunk(3, dim=-1))  # (B, n, C) each

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        result = _begun(inputs[0])
        found.append(result)
        return (result, *inputs[1:])

    handles = [block.attn.qkv.register_forward_hook(project), block.attn.proj.register_forward_pre_hook(keep)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _keeper(found: list[Tensor]) -> Callable[..., Tensor]:
    """A forward hook that adds a module's result to `found`."""

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        found.append(_begun(output))
        return found[-1]

    return keep


def _begun(output: Tensor) -> Tensor:
    """The tensor itself; where nothing before it requires a gradient, a copy at which the graph begins."""
    if torch.is_grad_enabled() and not output.requires_grad:
        return output.detach().requires_grad_()
    return output


def token_row(relevance: Tensor, prefix: int, class_token: bool) -> Tensor:
    """What the tokens that are read take from each patch: `(B, g, g)` of a relevance matrix `(B, n, n)`.

    The class token's row where the prediction is made from it; else the mean over the rows of all patches.
    """
    row = relevance[:, 0] if class_token else relevance[:, prefix:].mean(dim=1)  # (B, n)
    return as_map(row[:, prefix:])


def as_map(patches: Tensor) -> Tensor:
    """Values of patches `(B, g²)`, row after row, as maps `(B, g, g)`."""
    size = round(patches.shape[1] ** 0.5)
    return patches.unflatten(1, (size, size))


def class_scores(model: Any, images: Tensor, targets: Tensor) -> Tensor:
    """The logits of the target classes: `(B,)`."""
    logits: Tensor = model.logits(images)  # (B, K)
    return logits.gather(1, targets[:, None])[:, 0]


def in_parts(images: Tensor, targets: Tensor, batch: int, maps: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Maps `(B, h, w)` of `batch` images at a time; `maps(images, targets)` gives some."""
    parts = zip(images.split(batch), targets.split(batch), strict=True)
    return torch.cat([maps(some, classes).detach() for some, classes in parts])
