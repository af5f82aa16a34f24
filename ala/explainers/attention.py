"""Compute a model's own maps: ALA's and ABN's attention, F-CAM's foreground probability."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ala.contracts.maps import disk_backed
from ala.contracts.preprocessing import Preprocessing
from ala.perturbation import Photos
from ala.utils.fitting import Halving
from ala.utils.ledger import count_forwards
from ala.utils.progress import progress
from ala.utils.threads import in_lanes, whole_lanes


@torch.inference_mode()
def explain_photos(
    explain: Callable[[Tensor], Tensor],
    preprocessing: Preprocessing,
    photos: Photos,
    rows: np.ndarray,
    batch: int,
    device: torch.device,
    what: str = "explain",
) -> np.ndarray:
    """Compute the importance of the images at indices `rows` at the model's own resolution.

    Args:
        explain: normalised images `(B, 3, S, S)` to importance `(B, h, w)`, e.g. `ExplainedModel.explain`; called by
            several threads at once.
        preprocessing: of that model.
        photos: at the side of `preprocessing`.
        rows: int `(n,)`.
        batch: images per forward pass.
        device: where the model lives.
        what: the name of the work, shown with its progress.

    Returns:
        float32 `(n, h, w)`, on disk where it is large (:func:`ala.contracts.maps.disk_backed`).
    """
    found = np.empty((0, 0, 0), np.float32)
    at_once, halving = whole_lanes(batch, preprocessing.size, device), Halving()
    with progress(len(rows), what, unit="photo") as advance:
        for start in range(0, len(rows), at_once):
            images = preprocessing.normalise(photos.pixels(rows[start : start + at_once]).to(device))
            maps = torch.cat(halving(0, len(images), partial(_maps, explain, images))).numpy()  # (b, h, w)
            count_forwards(len(images))
            if start == 0:
                found = disk_backed((len(rows), *maps.shape[1:]))
            found[start : start + len(maps)] = maps
            advance(len(maps))
    return found


def _maps(explain: Callable[[Tensor], Tensor], images: Tensor, start: int, stop: int) -> Tensor:
    """Compute maps of `images[start:stop]`, returned on the CPU."""
    return in_lanes(explain, images[start:stop]).float().cpu()


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
        return own_maps(self.model, images, self.batch)


@torch.inference_mode()
def own_maps(model: SelfExplaining, images: Tensor, batch: int) -> Tensor:
    """Make maps `(B, h, w)`, on the CPU, of normalised images `(B, 3, S, S)`, `batch` images per forward pass."""
    halving, parts = Halving(), []
    for part in images.split(whole_lanes(batch, images.shape[-1], images.device)):
        parts += halving(0, len(part), partial(_maps, model.explain, part))
        count_forwards(len(part))
    return torch.cat(parts)
