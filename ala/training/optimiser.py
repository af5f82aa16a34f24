"""AdamW for an adapter: one for what always trains, one for what rests in AEA's off epochs (METHODS 2.6, 2.7)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ala.config.schema import Train
from ala.model.adapter import Adapter
from ala.training.loop import Part

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d)


def adapter_parts(adapter: Adapter, settings: Train, update: Iterable[nn.Parameter] = ()) -> list[Part]:
    """Make the optimisers of the perception branch and of what rests in off epochs: SBN, AB, a low-rank update.

    Norm layers and position and query embeddings have no weight decay.

    Args:
        update: parameters of the low-rank update, if there is one.
    """
    always = groups([adapter.perception], settings.weight_decay)
    resting = groups([adapter.side, adapter.attention], settings.weight_decay)
    if update := list(update):
        resting.append({"params": update, "weight_decay": settings.weight_decay})
    return [
        Part(torch.optim.AdamW(always, lr=settings.lr, fused=True), [adapter.perception]),
        Part(torch.optim.AdamW(resting, lr=settings.lr, fused=True), [adapter.side, adapter.attention], rests=True),
    ]


def groups(modules: Iterable[nn.Module], weight_decay: float) -> list[dict]:
    """Group the parameters of `modules`: with `weight_decay`, and without (norms, a module's `no_decay` names)."""
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for module in modules:
        for part in module.modules():
            exempt = getattr(part, "no_decay", ())
            for name, parameter in part.named_parameters(recurse=False):
                (plain if isinstance(part, _NORMS) or name in exempt else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def parameters(parts: Iterable[Part]) -> list[nn.Parameter]:
    """List the parameters of all optimisers, in their order."""
    return [one for part in parts for group in part.optimiser.param_groups for one in group["params"]]
