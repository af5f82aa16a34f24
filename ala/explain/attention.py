"""Maps that a model gives by itself: ALA's and ABN's attention, F-CAM's foreground probability."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ala.contracts.preprocessing import Preprocessing
from ala.perturb import Photos
from ala.runtime.ledger import count_forwards
from ala.runtime.progress import track


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
    """Importance of photos `rows` at the resolution at which the model makes it.

    Args:
        explain: normalised images `(B, 3, S, S)` to importance `(B, h, w)`, e.g. `ExplainedModel.explain`.
        preprocessing: of that model.
        photos: at the side of `preprocessing`.
        rows: int `(n,)`.
        batch: photos per forward pass.
        device: where the model lives.
        what: the name of the work, shown with its progress.

    Returns:
        float32 `(n, h, w)`.
    """
    parts = []
    for start in track(range(0, len(rows), batch), what, unit="batch"):
        images = preprocessing.normalise(photos.pixels(rows[start : start + batch]).to(device))
        parts.append(explain(images).float().cpu())  # (b, h, w)
        count_forwards(len(images))
    return torch.cat(parts).numpy()
