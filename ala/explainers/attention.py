"""Compute a model's own maps: ALA's and ABN's attention, F-CAM's foreground probability."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from ala.utils.fitting import Halving
from ala.utils.ledger import count_forwards
from ala.utils.threads import in_lanes, whole_lanes


class SelfExplaining(Protocol):
    """A model with a map of its own: normalised images `(B, 3, S, S)` to `(B, h, w)`."""

    def explain(self, images: Tensor) -> Tensor: ...


class Attention:
    """The model's own map, min-max scaled to [0, 1]; it knows no target class.

    Args:
        model: e.g. :class:`ala.model.explained.ExplainedModel`; its method `explain` is called by several threads.
        batch: images per forward pass.
    """

    explains = "own"
    class_agnostic = True

    def __init__(self, model: SelfExplaining, batch: int = 64) -> None:
        self.model, self.batch = model, batch

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Maps `(B, g, g)`."""
        return own_maps(self.model.explain, images, self.batch)


@torch.inference_mode()
def own_maps(explain: Callable[[Tensor], Tensor], images: Tensor, batch: int) -> Tensor:
    """Apply `explain`, called by several threads at once, to normalised images `(B, 3, S, S)`: maps on the CPU.

    `batch` images are explained per forward pass, which changes no byte of a map on a CPU.
    """
    halving, parts = Halving(), []
    for part in images.split(whole_lanes(batch, images.shape[-1], images.device)):
        parts += halving(0, len(part), partial(_maps, explain, part))
        count_forwards(len(part))
    return torch.cat(parts)


def _maps(explain: Callable[[Tensor], Tensor], images: Tensor, start: int, stop: int) -> Tensor:
    """Compute maps of `images[start:stop]`, returned on the CPU."""
    return in_lanes(explain, images[start:stop]).float().cpu()
