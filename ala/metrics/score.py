"""Score one method: IoU of every map, insertion and deletion on the class-balanced subset, one row per image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from ala.config.schema import Engine, Metrics
from ala.contracts.classifier import Classifier
from ala.contracts.collapsed import collapsed_of
from ala.contracts.compute import used
from ala.contracts.maps import Maps
from ala.contracts.scores import COLUMNS
from ala.data.store import Store, subset_rows
from ala.metrics import iou
from ala.metrics.curves import Curves, area
from ala.metrics.insertion_deletion import blur_kernel, insertion_deletion_of
from ala.perturbation import predict, running
from ala.utils.errors import UserError
from ala.utils.kept import once


@dataclass(frozen=True)
class Truth:
    """Test and validation images with their masks at the side of the evaluation, S = data.input_size."""

    val: Store
    test: Store
    mask_threshold: int  # foreground where grey > threshold


@dataclass(frozen=True)
class Probe:
    """The evaluated model, and its predictions for the unperturbed test images.

    Attributes:
        model: the model that the maps explain (METHODS 5.6).
        photos: test images at the side of the model's input.
        full: float32 `(n, K)`, probabilities of all test images.
        device: where the model lives.
        used: what the model was run with (:func:`ala.contracts.compute.used`).
    """

    model: Classifier
    photos: Store
    full: np.ndarray
    device: torch.device
    used: dict[str, Any]

    @classmethod
    def of(cls, model: Classifier, photos: Store, batch: int, device: torch.device, engine: Engine) -> Probe:
        """Predict all of `photos` with `model`, run as `engine` says."""
        model = running(model, engine, device)
        full = predict(model, photos, np.arange(len(photos)), batch, device, "predict test photos")
        return cls(model, photos, full, device, used(device, engine.precision, batch))


@dataclass(frozen=True)
class Scored:
    """The scores of one method: rows of Scores, curves of the subset, and their summary (numbers and texts only)."""

    rows: pd.DataFrame
    curves: Curves
    summary: dict[str, Any]
    true_class: Curves  # the same curves for the true class instead of the predicted one


def score(val_maps: Maps, test_maps: Maps, truth: Truth, probe: Probe, settings: Metrics, seed: int) -> Scored:
    """Score one method.

    IoU is measured on all test images that have a map, insertion and deletion on `images_per_class` images of each
    class, and the threshold of the rule `val` is chosen on all validation images that have a map.

    Args:
        val_maps: of validation images.
        test_maps: of test images, at least of the subset.
        truth: images and masks.
        probe: the model that the maps explain.
        settings: the `metrics` block.
        seed: of the run, kept in the rows.

    Raises:
        UserError: an image of the subset has no map, a map belongs to no image, or a mask is empty.
    """
    tau = None if test_maps.binary else _tau(val_maps, truth)
    test = truth.test
    targets = probe.full.argmax(axis=1)
    columns: dict[str, Any] = {
        "method": test_maps.method, "seed": seed, "image_id": test.image_ids, "label": test.labels,
        "target": targets, "correct": targets == test.labels,
    }  # fmt: skip

    mapped = test.rows_of(test_maps.image_ids)
    overlaps = once(lambda: _overlaps(test_maps, truth, tau), f"IoU of {test_maps.method}")
    for rule in iou.RULES:
        columns[f"iou_{rule}"] = overlaps[f"iou_{rule}"]
        empty = overlaps[f"empty_{rule}"]
        columns[f"empty_{rule}"] = pd.arrays.BooleanArray(empty == 1, empty == -1)

    subset = subset_rows(test, settings.images_per_class, settings.subset_seed)
    chosen = probe.photos.rows_of(test.image_ids[subset])
    classes = np.stack([targets[subset], test.labels[subset]], axis=1)
    curves, true_class = insertion_deletion_of(
        probe.model, probe.photos, chosen, test_maps.view(test.image_ids[subset]), probe.full[chosen], classes,
        method=test_maps.method, step=settings.step, kernel=blur_kernel(settings.blur_kernel, settings.blur_sigma),
        seed=settings.subset_seed, batch=settings.batch, device=probe.device, reference_side=test.size,
    )  # fmt: skip
    for name, values in {"insertion": area(curves.insertion), "deletion": area(curves.deletion)}.items():
        columns[name] = np.full(len(test), np.nan)
        columns[name][subset] = values
    columns["id"] = columns["insertion"] - columns["deletion"]  # METHODS 5.3

    table = pd.DataFrame(columns)[COLUMNS]
    summary = {
        "method": test_maps.method, "model": test_maps.model, "seed": seed,
        "n_images": len(test), "n_maps": len(mapped), "n_val_maps": len(val_maps.image_ids), "n_perturbed": len(subset),
        "accuracy": float(table["correct"].mean()),
        **{f"miou_{rule}": float(table[f"iou_{rule}"].mean()) for rule in iou.RULES},
        **{name: float(table[name].mean()) for name in ("insertion", "deletion", "id")},
        **{f"empty_{rule}": int(table[f"empty_{rule}"].sum()) for rule in iou.RULES},
        **{f"collapsed_{kind}": int(found.sum()) for kind, found in collapsed_of(test_maps).items()},
        "tau_val": tau, "steps": curves.insertion.shape[1] - 1, "tie_share": float(curves.tie_shares.mean()),
        "forwards": curves.forwards, "used": probe.used,
    }  # fmt: skip
    return Scored(table, curves, summary, true_class)


def _tau(maps: Maps, truth: Truth) -> float:
    chunks = _chunks(maps, truth.val, truth.mask_threshold)
    return iou.best_tau(np.concatenate([iou.iou_by_tau(values, masks) for _, values, masks in chunks]))


def _overlaps(maps: Maps, truth: Truth, tau: float | None) -> dict[str, np.ndarray]:
    """Compute by rule each test image's IoU (NaN without map) and whether its prediction is empty (1, 0, or -1)."""
    test = truth.test
    found: dict[str, np.ndarray] = {}
    for rule in iou.RULES:
        found[f"iou_{rule}"], found[f"empty_{rule}"] = np.full(len(test), np.nan), np.full(len(test), -1, np.int8)
    for rows, values, masks in _chunks(maps, test, truth.mask_threshold):
        for rule in iou.RULES:
            predictions = values > 0.5 if maps.binary else iou.predict(values, rule, tau)
            found[f"iou_{rule}"][rows] = iou.iou(predictions, masks)
            found[f"empty_{rule}"][rows] = ~predictions.any(axis=(1, 2))
    return found


def _chunks(maps: Maps, store: Store, threshold: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield a few indices of the image cache at a time, with maps in [0, 1] and boolean masks, both `(b, S, S)`."""
    for rows in iou.chunks(np.sort(store.rows_of(maps.image_ids)), store.size):
        masks = store.foreground(rows, threshold)
        empty = ~masks.any(axis=(1, 2))
        if empty.any():
            raise UserError(
                f"the mask of photo {store.image_ids[rows[empty]][0]} has no foreground at {store.size} x {store.size}"
                f" pixels and data.mask_threshold {threshold}; remove the photo or change one of the two"
            )
        yield rows, iou.at_size(maps, store.image_ids[rows], store.size), masks
