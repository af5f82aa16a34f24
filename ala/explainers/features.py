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
    branch = model.adapter.side
    if not isinstance(branch, SideBranch):
        raise UserError(
            f"{model.adapter.blueprint.variant} has no SBN, so no features flow into it; use a variant with one"
        )
    return branch


def feature_shares(model: ExplainedModel, images: Tensor, batch: int) -> dict[int, np.ndarray]:
    """Compute each feature's share of what the encoder features add to the SBN's image tokens.

    Every feature is normalised, projected to the SBN's width and added to the same residual stream, so the lengths of
    these vectors can be compared. The share of feature i on an image is the mean over cells of
    |c_i| / (|c_1| + ... + |c_n|), with c_i its addition before it is resized; shares of an image sum to 1.

    Args:
        model: with an SBN.
        images: normalised, `(B, 3, S, S)`.
        batch: images per forward pass.

    Returns:
        float64 `(B,)` for each feature.
    """
    fusions = side_branch(model).fusions
    features = [int(name) for name in fusions]
    seen = threading.local()  # several threads run the model at once

    def keep(feature: int) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            seen.lengths[feature] = output.norm(dim=1).flatten(1)  # (B, D, h, w) to (B, cells)

        return hook

    def lengths(images: Tensor) -> Tensor:
        seen.lengths = {}
        model.explain(images)
        # (B, features, cells): one encoder has one grid
        return torch.stack([seen.lengths[feature] for feature in features], dim=1)

    handles = [fusions[str(feature)].register_forward_hook(keep(feature)) for feature in features]
    try:
        found = own_maps(lengths, images, batch).numpy()
    finally:
        for handle in handles:
            handle.remove()
    shares = found.astype(np.float64) / found.sum(axis=1, keepdims=True, dtype=np.float64)  # (B, features, cells)
    return dict(zip(features, shares.mean(axis=2).T, strict=True))


@contextmanager
def without_feature(model: ExplainedModel, feature: int) -> Iterator[None]:
    """Disable encoder feature `feature` in the SBN within the block; PB still reads its own feature layer.

    Raises:
        UserError: the SBN does not read that feature.
    """
    fusions = side_branch(model).fusions
    if str(feature) not in fusions:
        raise UserError(f"feature {feature} does not flow into the SBN; it reads {', '.join(fusions)}")
    module: nn.Module = fusions[str(feature)]
    handle = module.register_forward_hook(lambda _module, _inputs, output: torch.zeros_like(output))
    try:
        yield
    finally:
        handle.remove()
