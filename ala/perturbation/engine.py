"""Predict class scores of perturbed images in batches: the one loop behind RISE, insertion and deletion.

Each method needs the scores of some classes on perturbed image f of image i. The engine numbers the perturbed
images of all images consecutively, writes `batch` of them into a buffer, calls the model on it, and keeps one number
per perturbed image and class. Nothing larger than the buffer exists at any time, and every forward pass but the last is
full. On a CPU each thread makes the perturbed images that it scores (:mod:`ala.utils.threads`). When the device runs
out of memory, the batch is halved and the run continues (:class:`ala.utils.fitting.Halving`). The first predictions
are checked against the contract of :mod:`ala.contracts.classifier`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ala.contracts.classifier import Classifier, require_eval, require_predictions
from ala.perturbation.perturbed import Filler, Images, PerturbedImages, Score
from ala.utils.errors import UserError
from ala.utils.fitting import Halving
from ala.utils.ledger import count_forwards
from ala.utils.progress import Advance, progress
from ala.utils.threads import in_lanes, whole_lanes


@torch.inference_mode()
def column_scores(
    score: Score,
    columns: np.ndarray,
    counts: np.ndarray,
    perturbed: Filler,
    batch: int,
    device: torch.device,
    what: str,
    advance: Advance | None = None,
    *,
    probabilities: bool = True,
) -> np.ndarray:
    """Predict the scores of some classes of each image on each of its perturbed images.

    Args:
        score: a model; its prediction for an image does not depend on the others in the batch.
        columns: int `(n, C)`, the classes of each image.
        counts: int `(n,)`, perturbed images of each image.
        perturbed: makes the perturbed images.
        batch: images per forward pass; on a CPU it is rounded up to whole lanes.
        device: where the model lives.
        what: the name of the work, shown with its progress and in errors.
        advance: called with the number of images after each forward pass, where this call is part of longer work with
            its own progress bar.
        probabilities: whether `score` gives rows in [0, 1] that sum to 1; False for logits.

    Returns:
        float32 `(counts.sum(), C)`, image after image, perturbed images in order.

    Raises:
        UserError: the model is in training mode, its first predictions break the contract of a Classifier, it lacks one
            of the classes, or it predicts NaN or infinity.
    """
    total = int(counts.sum())
    if advance is None:
        with progress(total, what, unit="image") as advance:
            return column_scores(
                score, columns, counts, perturbed, batch, device, what, advance, probabilities=probabilities
            )
    require_eval(score, what)
    wanted = torch.as_tensor(columns, device=device)  # (n, C)
    scores = torch.empty(total, wanted.shape[1], device=device)
    at_once = whole_lanes(batch, perturbed.image_size, device)
    buffer = torch.empty(min(at_once, max(total, 1)), 3, perturbed.image_size, perturbed.image_size, device=device)
    done, halving = 0, Halving()
    ends = counts.cumsum()
    while done < total:
        shown = buffer[: total - done]
        number = np.arange(done, done + len(shown))
        owner = np.searchsorted(ends, number, side="right")  # the image of each perturbed image
        fill = partial(_fill, perturbed, owner, number - (ends - counts)[owner], shown)
        predictions = torch.cat(halving(0, len(shown), partial(_predictions, score, shown, fill)))  # (b, K)
        count_forwards(len(shown))
        if done == 0:
            _require_contract(predictions, len(shown), columns, what, probabilities)
        classes = wanted[torch.as_tensor(owner, device=device)]  # (b, C)
        scores[done : done + len(shown)] = predictions.gather(1, classes).float()
        if done == 0:
            _require_finite(scores[: len(shown)].cpu().numpy(), what, counts)
        done += len(shown)
        advance(len(shown))
    found = scores.cpu().numpy()
    _require_finite(found, what, counts)
    return found


def target_scores(
    score: Score, targets: np.ndarray, perturbed: PerturbedImages, batch: int, device: torch.device, what: str,
    advance: Advance | None = None, *, probabilities: bool = True,
) -> np.ndarray:  # fmt: skip
    """Predict the score of each image's target class on each of its perturbed images: float32 `(n, perturbed.count)`.

    Every image has `perturbed.count` perturbed images; the other arguments are those of :func:`column_scores`.

    Args:
        targets: int `(n,)`, one class per image.
    """
    counts = np.full(len(targets), perturbed.count)
    found = column_scores(
        score,
        np.asarray(targets)[:, None],
        counts,
        perturbed,
        batch,
        device,
        what,
        advance,
        probabilities=probabilities,
    )
    return found.reshape(len(targets), perturbed.count)


@torch.inference_mode()
def predict(
    model: Classifier, images: Images, indices: np.ndarray, batch: int, device: torch.device, what: str = "predict"
) -> np.ndarray:
    """Predict probabilities float32 `(len(indices), K)` of unperturbed images, in the order of `indices`.

    Raises:
        UserError: the model is in training mode, its first predictions are no probabilities, or it predicts NaN or
            infinity.
    """
    require_eval(model, what)
    parts: list[Tensor] = []
    halving = Halving()
    at_once = whole_lanes(batch, model.preprocessing.size, device)
    with progress(len(indices), what, unit="image") as advance:
        for start in range(0, len(indices), at_once):
            some = indices[start : start + at_once]
            normalised = model.preprocessing.normalise(images.pixels(some).to(device))
            # (b, K)
            predictions = (
                torch.cat(halving(0, len(normalised), partial(_predictions, model, normalised, None))).float().cpu()
            )
            if not parts:
                _require_finite_rows(predictions.numpy(), images.image_ids[some], what)
                require_predictions(predictions, len(normalised), what)
            parts.append(predictions)
            count_forwards(len(normalised))
            advance(len(normalised))
    found: np.ndarray = torch.cat(parts).numpy()
    _require_finite_rows(found, images.image_ids[indices], what)
    return found


def _predictions(
    score: Score, images: Tensor, fill: Callable[[int, int], None] | None, start: int, stop: int
) -> Tensor:
    """Predict the scores of `images[start:stop]`, which `fill`, if given, writes first."""
    if fill is None:
        return in_lanes(score, images[start:stop])
    return in_lanes(score, images[start:stop], lambda a, b: fill(start + a, start + b))


def _require_contract(predictions: Tensor, images: int, columns: np.ndarray, what: str, probabilities: bool) -> None:
    require_predictions(predictions, images, what, probabilities=probabilities)
    classes = predictions.shape[-1]
    if columns.size and not 0 <= columns.min() <= columns.max() < classes:
        raise UserError(
            f"{what}: class {columns.min() if columns.min() < 0 else columns.max()} is requested, but the model has"
            f" {classes} classes, counted from 0"
        )


def _fill(perturbed: Filler, owner: np.ndarray, number: np.ndarray, out: Tensor, start: int, stop: int) -> None:
    """Write `out[start:stop]`; entry k of `out` is perturbed image `number[k]` of image `owner[k]`."""
    while start < stop:
        last = min(stop, int(np.searchsorted(owner, owner[start], side="right")))
        perturbed.fill(int(owner[start]), int(number[start]), int(number[last - 1]) + 1, out[start:last])
        start = last


def _require_finite(scores: np.ndarray, what: str, counts: np.ndarray, first: int = 0) -> None:
    """Raise unless all of `scores` `(n, C)`, the first of which is of perturbed image `first`, are finite."""
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad):
        index = int(np.searchsorted(counts.cumsum(), first + bad[0], side="right"))
        raise UserError(
            f"{what}: the model predicts NaN or infinity for {len(bad)} perturbed images, first of the image at"
            f" position {index}; try engine.precision fp32, else train the model again"
        )


def _require_finite_rows(predictions: np.ndarray, image_ids: np.ndarray, what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(predictions.reshape(len(predictions), -1)).all(axis=1))
    if len(bad):
        raise UserError(
            f"{what}: the model predicts NaN or infinity for image {image_ids[bad[0]]} ({len(bad)} in all);"
            " train it again, with a lower train.lr if training is what went wrong"
        )
