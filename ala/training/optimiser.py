"""Optimise by AdamW, with a separate one for the parts that rest in AEA's off epochs (METHODS 2.6, 2.7)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from ala.config.schema import Train
from ala.model.adapter import Adapter
from ala.model.lora import LoraEncoder

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d)


class Optimiser:
    """Two AdamW optimisers: `perception` always steps, `resting` (SBN, AB, the low-rank update) in on epochs only.

    In an off epoch the resting optimiser is not called and its gradients are None, so neither momentum nor weight decay
    nor step counts change it. Zero gradients would not suffice: AdamW still changes such parameters. Norm layers and
    position and query embeddings have no weight decay.
    """

    def __init__(self, adapter: Adapter, lora: LoraEncoder | None, settings: Train) -> None:
        self.clip_norm = settings.clip_norm
        always = groups([adapter.perception], settings.weight_decay)
        resting = groups([adapter.side, adapter.attention], settings.weight_decay)
        if lora is not None:
            resting.append({"params": list(lora.update().values()), "weight_decay": settings.weight_decay})
        self.perception = torch.optim.AdamW(always, lr=settings.lr, fused=True)
        self.resting = torch.optim.AdamW(resting, lr=settings.lr, fused=True)
        self.parameters = [
            parameter for group in (*self.perception.param_groups, *self.resting.param_groups)
            for parameter in group["params"]
        ]  # fmt: skip

    def start_epoch(self, lr: float) -> None:
        """Set the epoch's learning rate and clear the gradients of the previous epoch."""
        for group in (*self.perception.param_groups, *self.resting.param_groups):
            group["lr"] = lr
        self.clear()

    def step(self, on: bool) -> float:
        """Clip the gradients over all parameters together, and step what trains in this epoch.

        Returns:
            The gradients' norm before clipping; where it is NaN or infinite no step was taken.
        """
        if self.clip_norm is not None:
            norm = float(nn.utils.clip_grad_norm_(self.parameters, self.clip_norm))
        else:
            norm = float(nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None]))
        if not math.isfinite(norm):
            self.clear()
            return norm
        self.perception.step()
        if on:
            self.resting.step()
        self.clear()
        return norm

    def clear(self) -> None:
        """Set all gradients to None, not zero."""
        self.perception.zero_grad(set_to_none=True)
        self.resting.zero_grad(set_to_none=True)


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
