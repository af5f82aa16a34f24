"""The forward-pass engine shared by RISE, insertion and deletion: how a model answers to changed photos.

All three ask the same question many times over: the score of one class on frame f of photo i. The engine fills one
buffer of `batch` frames, across photos, calls the model on it, and keeps one number per frame. Nothing larger than
the buffer exists at any time, and every forward pass but the last is full.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ala.contracts.classifier import Classifier
from ala.runtime.ledger import count_forwards
from ala.runtime.progress import track

Score = Callable[[Tensor], Tensor]  # normalised images (B, 3, S, S) -> scores (B, K)


class Photos(Protocol):
    """Where photos come from; `ala.data.store.Store` is one."""

    @property
    def image_ids(self) -> np.ndarray:
        """Int64 `(n,)`."""

    def pixels(self, rows: np.ndarray) -> Tensor:
        """Photos `rows` as uint8 `(len(rows), 3, S, S)`."""


class Frames(Protocol):
    """Changed versions of photos, made on demand. Photos are asked for one after another, frames in order."""

    count: int  # frames per photo
    side: int  # S

    def fill(self, photo: int, start: int, stop: int, out: Tensor) -> None:
        """Write frames `start..stop` of the photo at position `photo` into `out` `(stop - start, 3, S, S)`."""


@torch.inference_mode()
def target_scores(
    score: Score, targets: np.ndarray, frames: Frames, batch: int, device: torch.device, what: str
) -> np.ndarray:
    """The score of each photo's target class on each of its frames.

    Args:
        score: a model; its answer to an image does not depend on the others in the batch.
        targets: int `(n,)`, one class per photo.
        frames: `frames.count` versions of each of the n photos.
        batch: images per forward pass.
        device: where the model lives.
        what: the name of the work, shown with its progress.

    Returns:
        float32 `(n, frames.count)`.
    """
    n, per_photo = len(targets), frames.count
    wanted = torch.as_tensor(np.repeat(targets, per_photo), device=device)  # (n * F,)
    scores = torch.empty(n * per_photo, device=device)
    buffer = torch.empty(batch, 3, frames.side, frames.side, device=device)
    done = filled = 0
    for photo in track(range(n), what, unit="photo"):
        start = 0
        while start < per_photo:
            stop = min(per_photo, start + batch - filled)
            frames.fill(photo, start, stop, buffer[filled : filled + stop - start])
            filled, start = filled + stop - start, stop
            if filled == batch or done + filled == n * per_photo:
                answers = score(buffer[:filled])  # (filled, K)
                columns = wanted[done : done + filled, None]
                count_forwards(filled)
                scores[done : done + filled] = answers.gather(1, columns)[:, 0].float()
                done, filled = done + filled, 0
    return scores.view(n, per_photo).cpu().numpy()


@torch.inference_mode()
def predict(
    model: Classifier, photos: Photos, rows: np.ndarray, batch: int, device: torch.device, what: str = "predict"
) -> np.ndarray:
    """Probabilities float32 `(len(rows), K)` of whole photos, in the order of `rows`."""
    parts = []
    for start in track(range(0, len(rows), batch), what, unit="batch"):
        images = model.preprocessing.normalise(photos.pixels(rows[start : start + batch]).to(device))
        parts.append(model(images).float().cpu())  # (b, K)
        count_forwards(len(images))
    return torch.cat(parts).numpy()
