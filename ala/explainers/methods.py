"""Load the model that a method explains, and make the maps of one method, seed and split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ala.config.schema import EXTENSIONS, ROWS, Settings, variant_name
from ala.contracts.classifier import Classifier
from ala.contracts.compute import used
from ala.contracts.maps import Maps
from ala.data.store import Store, subset_rows
from ala.explainers import trivial
from ala.explainers.attention import explain_photos
from ala.explainers.rise import rise_maps
from ala.perturbation import predict, running
from ala.utils.errors import UserError

VARIANTS = tuple(variant_name(**row) for row in ROWS.values())
METHODS = (*VARIANTS, "abn", "fcam", "rise", "trivial")


@dataclass(frozen=True)
class Explained:
    """A model with its maps.

    Attributes:
        name: of its folder under models/.
        classifier: normalised images to probabilities.
        explain: normalised images `(B, 3, S, S)` to importance `(B, h, w)`.
        calibrated: whether those values are probabilities (:class:`ala.contracts.maps.Maps`).
    """

    name: str
    classifier: Classifier
    explain: Callable[[Tensor], Tensor]
    calibrated: bool


def check(method: str) -> None:
    """Raises UserError unless `method` is one of :data:`METHODS`, or an extension of row (iii)."""
    if method not in (*METHODS, *EXTENSIONS):
        raise UserError(f"method {method!r} does not exist; choose one of {', '.join((*METHODS, *EXTENSIONS))}")


def load_explained(method: str, seed: int, settings: Settings, models: Path, device: torch.device) -> Explained:
    """Load the model that `method` explains: a model of its own, or the main model for `rise` and `trivial` (METHODS
    5.6).

    Args:
        method: one of :data:`METHODS`.
        seed: of the run.
        settings: tell the main model.
        models: the folder with encoder/ and one folder per model.
        device: where the model goes.
    """
    check(method)
    name = settings.main_variant if method in ("rise", "trivial") else method
    folder = models / name / f"seed-{seed}"
    if method == "fcam":
        from ala.explainers.fcam import load_fcam

        fcam = load_fcam(folder, device)
        return Explained(name, fcam.classifier, fcam.explain, calibrated=True)
    from ala.model.checkpoint import load_model

    model = load_model(folder, models / "encoder", device)
    return Explained(name, model, model.explain, calibrated=False)


def own_maps(model: Explained, photos: Store, batch: int, device: torch.device) -> Maps:
    """Make the model's own, class-agnostic maps of all `photos`."""
    importance = explain_photos(
        model.explain, model.classifier.preprocessing, photos, np.arange(len(photos)), batch, device,
        f"explain {photos.split} photos",
    )  # fmt: skip
    no_class = np.full(len(photos), -1)
    return Maps(photos.image_ids, importance, model.name, model.name, no_class, calibrated=model.calibrated)


def rise_maps_of(model: Explained, photos: Store, settings: Settings, device: torch.device) -> Maps:
    """Make RISE maps for the predicted class, on a class-balanced subset of a split because of the cost (METHODS 8)."""
    metrics, rise = settings.active.metrics, settings.active.rise
    per_class = {"val": metrics.val_images_per_class, "test": metrics.images_per_class}[photos.split]
    rows = subset_rows(photos, per_class, metrics.subset_seed)
    classifier = running(model.classifier, settings.active.engine, device)
    targets = predict(classifier, photos, rows, rise.batch, device).argmax(axis=1)
    importance = rise_maps(classifier, photos, rows, targets, rise, device)
    return Maps(photos.image_ids[rows], importance, "rise", model.name, targets)


def trivial_maps(photos: Store, settings: Settings, seed: int) -> list[Maps]:
    """Make the four baseline maps of all `photos`; the noise is as coarse as ALA's map."""
    grid = photos.size // settings.active.ala.sbn.patch
    return [
        trivial.full(photos.image_ids),
        trivial.center(photos.image_ids, photos.size),
        trivial.noise(photos.image_ids, grid, seed),
        trivial.box(photos.image_ids, photos.boxes, photos.size),
    ]


def maps_by_file(
    method: str, seed: int, settings: Settings, store: Path, models: Path, device: torch.device
) -> dict[str, Maps]:
    """Make the maps of val and test images by `method`, keyed by the names of their files.

    `val` and `test`; for `trivial`, which is four methods, `full-val`, `full-test` and so on.

    Args:
        method: one of :data:`METHODS`.
        seed: of the run.
        settings: all of them.
        store: the folder with one store per side length.
        models: the folder with encoder/ and one folder per model.
        device: where the model goes.
    """
    splits = ("val", "test")
    if method == "trivial":
        stores = {split: Store.open(store / str(settings.active.data.input_size), split) for split in splits}
        made = {split: trivial_maps(photos, settings, seed) for split, photos in stores.items()}
        return {f"{one.method}-{split}": one for split, group in made.items() for one in group}
    model = load_explained(method, seed, settings, models, device)
    stores = {split: Store.open(store / str(model.classifier.preprocessing.size), split) for split in splits}
    if method == "rise":
        return {split: rise_maps_of(model, photos, settings, device) for split, photos in stores.items()}
    return {split: own_maps(model, photos, settings.active.metrics.batch, device) for split, photos in stores.items()}


def used_for(method: str, settings: Settings, device: torch.device) -> dict[str, Any] | None:
    """Describe how :func:`maps_by_file` runs the network of `method` (:func:`ala.contracts.compute.used`).

    None where there is no network. A model that explains itself does so in float32, whatever `engine.precision` says.
    """
    profile = settings.active
    if method == "trivial":
        return None
    if method == "rise":
        return used(device, profile.engine.precision, profile.rise.batch)
    return used(device, "fp32", profile.metrics.batch)
