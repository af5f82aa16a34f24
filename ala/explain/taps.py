"""What each encoder layer gives to ALA's map: its share of what flows into the SBN, and the map without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ala.explain.attention import explain_photos
from ala.model.explained import ExplainedModel
from ala.model.side_branch import SideBranch
from ala.perturb import Batch, Photos
from ala.perturb.batch_size import resolve
from ala.runtime.errors import UserError


def side_branch(model: ExplainedModel) -> SideBranch:
    """The model's SBN.

    Raises:
        UserError: it has none.
    """
    side = model.adapter.side
    if not isinstance(side, SideBranch):
        raise UserError(
            f"{model.adapter.blueprint.variant} has no SBN, so no taps flow into it; use a variant with one"
        )
    return side


def tap_shares(
    model: ExplainedModel, photos: Photos, rows: np.ndarray, batch: Batch, device: torch.device
) -> dict[int, np.ndarray]:
    """Each tap's share of what the taps add to the SBN's image tokens, by tap.

    Every tap is normalised, projected to the SBN's width and added to the same residual stream, so the lengths of
    these vectors can be compared. The share of tap i on a photo is the mean over cells of
    |c_i| / (|c_1| + ... + |c_n|), with c_i its addition before it is resized; shares of a photo sum to 1.

    Returns:
        float64 `(len(rows),)` for each tap.
    """
    fusions = side_branch(model).fusions
    batch = resolve(batch, model.explain, model.preprocessing.size, device)  # before the hooks see anything
    seen: dict[int, list[Tensor]] = {int(name): [] for name in fusions}

    def keep(tap: int) -> object:
        # (B, D, h, w) to the mean length over cells of one photo, (B,): taps of one encoder have one grid
        return lambda module, inputs, output: seen[tap].append(output.norm(dim=1).double().cpu())

    handles = [module.register_forward_hook(keep(int(name))) for name, module in fusions.items()]  # type: ignore[arg-type]
    try:
        explain_photos(
            model.explain, model.preprocessing, photos, rows, batch, device, "weights of the taps", keep=False
        )  # the hooks must see every photo; fmt: skip
    finally:
        for handle in handles:
            handle.remove()
    lengths = {tap: torch.cat(parts).flatten(1) for tap, parts in seen.items()}  # (n, cells)
    total = torch.stack(list(lengths.values())).sum(0)
    return {tap: (values / total).mean(dim=1).numpy() for tap, values in lengths.items()}


@contextmanager
def without_tap(model: ExplainedModel, tap: int) -> Iterator[None]:
    """Inside the block, encoder tap `tap` adds nothing to the SBN; PB still reads its own feature layer.

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
