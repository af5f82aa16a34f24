"""Measure each encoder feature's contribution to ALA: its share of the SBN's input, and the map without it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ala.explainers.attention import own_maps
from ala.model.explained import ExplainedModel
from ala.model.side_branch import SideBranch
from ala.utils.errors import UserError


def side_branch(model: ExplainedModel) -> SideBranch:
    """Return the model's SBN.

    Raises:
        UserError: it has none.
    """
    side = model.adapter.side
    if not isinstance(side, SideBranch):
        raise UserError(
            f"{model.adapter.blueprint.variant} has no SBN, so no taps flow into it; use a variant with one"
        )
    return side


def tap_shares(model: ExplainedModel, images: Tensor, batch: int) -> dict[int, np.ndarray]:
    """Compute each feature's share of what the encoder features (taps) add to the SBN's image tokens.

    Every tap is normalised, projected to the SBN's width and added to the same residual stream, so the lengths of
    these vectors can be compared. The share of tap i on an image is the mean over cells of
    |c_i| / (|c_1| + ... + |c_n|), with c_i its addition before it is resized; shares of an image sum to 1.

    Args:
        model: with an SBN.
        images: normalised, `(B, 3, S, S)`.
        batch: images per forward pass.

    Returns:
        float64 `(B,)` for each tap.
    """
    fusions = side_branch(model).fusions
    taps = [int(name) for name in fusions]
    seen = threading.local()  # several threads run the model at once

    def keep(tap: int) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            seen.lengths[tap] = output.norm(dim=1).flatten(1)  # (B, D, h, w) to (B, cells)

        return hook

    def lengths(images: Tensor) -> Tensor:
        seen.lengths = {}
        model.explain(images)
        return torch.stack([seen.lengths[tap] for tap in taps], dim=1)  # (B, taps, cells): one encoder has one grid

    handles = [fusions[str(tap)].register_forward_hook(keep(tap)) for tap in taps]
    try:
        found = own_maps(lengths, images, batch).numpy()
    finally:
        for handle in handles:
            handle.remove()
    shares = found.astype(np.float64) / found.sum(axis=1, keepdims=True, dtype=np.float64)  # (B, taps, cells)
    return dict(zip(taps, shares.mean(axis=2).T, strict=True))


@contextmanager
def without_tap(model: ExplainedModel, tap: int) -> Iterator[None]:
    """Disable encoder feature `tap` in the SBN within the block; PB still reads its own feature layer.

    Raises:
        UserError: the SBN does not read that tap.
    """
    fusions = side_branch(model).fusions
    if str(tap) not in fusions:
        raise UserError(f"tap {tap} does not flow into the SBN; it reads {', '.join(fusions)}")
    module: nn.Module = fusions[str(tap)]
    handle = module.register_forward_hook(lambda _module, _inputs, output: torch.zeros_like(output))
    try:
        yield
    finally:
        handle.remove()
