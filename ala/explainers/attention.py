"""Compute a model's own maps: ALA's and ABN's attention, F-CAM's foreground probability."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ala.contracts.maps import disk_backed
from ala.contracts.preprocessing import Preprocessing
from ala.perturbation import Photos
from ala.utils.fitting import Halving
from ala.utils.kept import Call, current
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
    keep: bool = True,
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
        keep: save maps so that an interrupted run resumes from them.

    Returns:
        float32 `(n, h, w)`, on disk where it is large (:func:`ala.contracts.maps.disk_backed`).
    """
    found = np.empty((0, 0, 0), np.float32)
    kept = current() if keep else Call(None)
    at_once, halving = whole_lanes(batch, preprocessing.size, device), Halving()
    with progress(len(rows), what, unit="photo") as advance:
        for start in range(0, len(rows), at_once):
            maps = kept.get(start)
            if maps is None or len(maps) != len(rows[start : start + at_once]):
                images = preprocessing.normalise(photos.pixels(rows[start : start + at_once]).to(device))
                maps = torch.cat(halving(0, len(images), partial(_maps, explain, images))).numpy()  # (b, h, w)
                count_forwards(len(images))
                kept.add(start, maps, f"{what}, {start + len(maps):,} of {len(rows):,} photos")
            if start == 0:
                found = disk_backed((len(rows), *maps.shape[1:]))
            found[start : start + len(maps)] = maps
            advance(len(maps))
    return found


def _maps(explain: Callable[[Tensor], Tensor], images: Tensor, start: int, stop: int) -> Tensor:
    """Compute maps of `images[start:stop]`, returned on the CPU."""
    return in_lanes(explain, images[start:stop]).float().cpu()
