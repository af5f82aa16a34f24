"""The forward-pass engine shared by RISE, insertion and deletion: how a model answers to changed photos.

All three ask the same question many times over: the score of one class on frame f of photo i. The engine fills one
buffer of `batch` frames, across photos, calls the model on it, and keeps one number per frame. Nothing larger than
the buffer exists at any time, and every forward pass but the last is full. Where the device runs out of memory, the
batch is halved and the run goes on (:class:`Fitting`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ala.contracts.classifier import Classifier
from ala.runtime.errors import UserError
from ala.runtime.ledger import count_forwards
from ala.runtime.progress import track
from ala.runtime.threads import in_parts

Score = Callable[[Tensor], Tensor]  # normalised images (B, 3, S, S) -> scores (B, K)


class Photos(Protocol):
    """Where photos come from; `ala.data.store.Store` is one."""

    @property
    def image_ids(self) -> np.ndarray:
        """Int64 `(n,)`."""

    def pixels(self, rows: np.ndarray) -> Tensor:
        """Photos `rows` as uint8 `(len(rows), 3, S, S)`."""


class Filler(Protocol):
    """Changed versions of photos, made on demand. Photos are asked for one after another, frames in order."""

    side: int  # S

    def fill(self, photo: int, start: int, stop: int, out: Tensor) -> None:
        """Write frames `start..stop` of the photo at position `photo` into `out` `(stop - start, 3, S, S)`."""


class Frames(Filler, Protocol):
    """As many frames of every photo."""

    count: int  # frames per photo


class Fitting:
    """A model called on as many images at a time as the device's memory holds; answers are those of `score`.

    The first time that memory runs out the batch is halved, with a message, and so on down to one image; later calls
    start from the size that was found.
    """

    def __init__(self, score: Score) -> None:
        self._score = score
        self.limit: int | None = None  # images per call, once memory has run out

    def __call__(self, images: Tensor) -> Tensor:
        """`(B, 3, S, S)` to `(B, K)`.

        Raises:
            UserError: there is no memory for a single image.
        """
        while True:
            try:
                pieces = images.split(self.limit or len(images))
                answers = [in_parts(self._score, piece) for piece in pieces]
                return torch.cat(answers) if len(answers) > 1 else answers[0]
            except torch.OutOfMemoryError:
                tried = min(self.limit or len(images), len(images))
                if tried == 1:
                    raise UserError(
                        f"{images.device} has no memory for one image of {images.shape[-1]} x {images.shape[-1]}"
                        " pixels; free it or use --device cpu"
                    ) from None
                self.limit = tried // 2
                print(f"out of memory with {tried} images at a time, going on with {self.limit}", file=sys.stderr)
            if images.device.type == "cuda":
                torch.cuda.empty_cache()


@torch.inference_mode()
def column_scores(
    score: Score,
    columns: np.ndarray,
    counts: np.ndarray,
    frames: Filler,
    batch: int,
    device: torch.device,
    what: str,
) -> np.ndarray:
    """The scores of some classes of each photo on each of its frames.

    Args:
        score: a model; its answer to an image does not depend on the others in the batch.
        columns: int `(n, C)`, the classes of each photo.
        counts: int `(n,)`, frames of each photo.
        frames: makes them.
        batch: images per forward pass.
        device: where the model lives.
        what: the name of the work, shown with its progress.

    Returns:
        float32 `(counts.sum(), C)`, photo after photo, frames in order.
    """
    total = int(counts.sum())
    wanted = torch.as_tensor(np.repeat(columns, counts, axis=0), device=device)  # (N, C)
    scores = torch.empty(wanted.shape, device=device)
    buffer = torch.empty(min(batch, max(total, 1)), 3, frames.side, frames.side, device=device)
    done = filled = 0
    fitting = Fitting(score)
    for photo, per_photo in enumerate(track(counts.tolist(), what, unit="photo")):
        start = 0
        while start < per_photo:
            stop = min(per_photo, start + len(buffer) - filled)
            frames.fill(photo, start, stop, buffer[filled : filled + stop - start])
            filled, start = filled + stop - start, stop
            if filled == len(buffer) or done + filled == total:
                answers = fitting(buffer[:filled])  # (filled, K)
                count_forwards(filled)
                scores[done : done + filled] = answers.gather(1, wanted[done : done + filled]).float()
                done, filled = done + filled, 0
    return scores.cpu().numpy()


def target_scores(
    score: Score, targets: np.ndarray, frames: Frames, batch: int, device: torch.device, what: str
) -> np.ndarray:
    """The score of each photo's target class on each of its frames, float32 `(n, frames.count)`.

    Every photo has `frames.count` frames; the other arguments are those of :func:`column_scores`.

    Args:
        targets: int `(n,)`, one class per photo.
    """
    counts = np.full(len(targets), frames.count)
    found = column_scores(score, np.asarray(targets)[:, None], counts, frames, batch, device, what)  # (n * F, 1)
    return found.reshape(len(targets), frames.count)


@torch.inference_mode()
def predict(
    model: Classifier, photos: Photos, rows: np.ndarray, batch: int, device: torch.device, what: str = "predict"
) -> np.ndarray:
    """Probabilities float32 `(len(rows), K)` of whole photos, in the order of `rows`."""
    parts, fitting = [], Fitting(model)
    for start in track(range(0, len(rows), batch), what, unit="batch"):
        images = model.preprocessing.normalise(photos.pixels(rows[start : start + batch]).to(device))
        parts.append(fitting(images).float().cpu())  # (b, K)
        count_forwards(len(images))
    return torch.cat(parts).numpy()
