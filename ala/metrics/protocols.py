"""Name all protocols, and score one method under each of them (METHODS 5.1 to 5.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ala.config.schema import Metrics
from ala.contracts.maps import Maps
from ala.data.store import subset_rows
from ala.metrics import iou, localisation
from ala.metrics.curves import area
from ala.metrics.insertion_deletion import blur_kernel, insertion_deletion
from ala.metrics.lab import Substrate, lab_curves
from ala.metrics.score import Probe, Truth

SUBSTRATES: tuple[Substrate, ...] = ("zero", "blur")
LEVELS: dict[str, int | None] = {"none": None, "q3": 3}
CLASSES = ("predicted", "true")
#: `lab-<substrate>-<quantisation>-<class>`
LAB = tuple(f"lab-{ground}-{q}-{name}" for ground in SUBSTRATES for q in LEVELS for name in CLASSES)
#: The official protocol for both classes; its scores come from the stage `evaluate`.
OFFICIAL = tuple(f"official-{name}" for name in CLASSES)

PERTURBED = ["method", "seed", "image_id", "protocol", "insertion", "deletion", "id"]
LOCALISED = ["method", "seed", "image_id", "pointing", "energy", *(f"iou_any_{rule}" for rule in iou.RULES)]
COMMON = ["method", "seed", "image_id", "insertion", "deletion", "id"]


@dataclass(frozen=True)
class Localised:
    """`rows` in the columns of :data:`LOCALISED`; `whole` holds MaxBoxAcc, MaxBoxAccV2 and PxAP of the subset."""

    rows: pd.DataFrame
    whole: dict[str, float]


def subset(truth: Truth, settings: Metrics) -> np.ndarray:
    """Select the indices of the test images for insertion, deletion and localisation, the same for all methods."""
    return subset_rows(truth.test, settings.images_per_class, settings.subset_seed)


def lab_scores(maps: Maps, truth: Truth, probe: Probe, settings: Metrics, seed: int) -> tuple[pd.DataFrame, int]:
    """Score all protocols of :data:`LAB` on the explained model: rows :data:`PERTURBED`, and forward passes."""
    rows = subset(truth, settings)
    ids = truth.test.image_ids[rows]
    chosen = probe.photos.rows_of(ids)
    classes = np.stack([probe.full[chosen].argmax(axis=1), truth.test.labels[rows]], axis=1)
    kernel = blur_kernel(settings.blur_kernel, settings.blur_sigma)
    parts, forwards = [], 0
    for ground in SUBSTRATES:
        for name, levels in LEVELS.items():
            curves = lab_curves(
                probe.model, probe.photos, chosen, maps.view(ids), classes, points=settings.lab_points, levels=levels,
                substrate=ground, kernel=kernel, batch=settings.batch, device=probe.device,
                what=f"lab protocol, {maps.method}, {ground}, {name}",
            )  # fmt: skip
            forwards += curves.forwards
            for which, target in enumerate(CLASSES):
                insertion, deletion = curves.areas(which)
                parts.append(_perturbed(maps.method, seed, ids, f"lab-{ground}-{name}-{target}", insertion, deletion))
    return pd.concat(parts, ignore_index=True), forwards


def common_scores(maps: Maps, truth: Truth, probe: Probe, settings: Metrics, seed: int) -> tuple[pd.DataFrame, int]:
    """Score official insertion and deletion on any model: rows :data:`COMMON`, and forward passes."""
    rows = subset(truth, settings)
    ids = truth.test.image_ids[rows]
    chosen = probe.photos.rows_of(ids)
    curves = insertion_deletion(
        probe.model, probe.photos, chosen, maps.view(ids), probe.full[chosen], method=maps.method, step=settings.step,
        kernel=blur_kernel(settings.blur_kernel, settings.blur_sigma), seed=settings.subset_seed, batch=settings.batch,
        device=probe.device, reference_side=truth.test.size,
    )  # fmt: skip
    table = _perturbed(maps.method, seed, ids, "", area(curves.insertion), area(curves.deletion))
    return table[COMMON], curves.forwards


def localise(maps: Maps, truth: Truth, settings: Metrics, seed: int, tau: float | None) -> Localised:
    """Score localisation on the subset; `tau` is the threshold of the rule `val`, None for binary maps.

    `iou_any_*` is IoU with the ground truth "any annotator" (grey > 0) instead of the majority (METHODS 1.3, 5.4).
    """
    rows = subset(truth, settings)
    parts: list[dict[str, Any]] = []
    largest: list[np.ndarray] = []  # (b, T) each
    best: list[np.ndarray] = []
    histograms = np.zeros((2, localisation.BINS + 1), np.int64)
    for some in iou.chunks(rows, truth.test.size):
        few = truth.test.image_ids[some]
        values = iou.at_size(maps, few, truth.test.size)  # (b, S, S)
        masks = truth.test.foreground(some, truth.mask_threshold)
        anyone = truth.test.foreground(some, 0)
        for found, scores in zip(
            (largest, best), localisation.box_scores(values, truth.test.boxes[some], settings.box_step), strict=True
        ):
            found.append(scores)
        histograms += localisation.score_histograms(values, masks)
        columns: dict[str, Any] = {
            "method": maps.method, "seed": seed, "image_id": few,
            "pointing": localisation.pointing(values, masks), "energy": localisation.energy(values, masks),
        }  # fmt: skip
        for rule in iou.RULES:
            predictions = values > 0.5 if maps.binary else iou.predict(values, rule, tau)
            columns[f"iou_any_{rule}"] = iou.iou(predictions, anyone)
        parts.append(columns)
    whole = {
        "maxboxacc": localisation.max_box_acc(np.concatenate(largest)),
        "maxboxaccv2": localisation.max_box_acc_v2(np.concatenate(best)),
        "pxap": localisation.pxap(histograms),
        "n_images": len(rows),
    }
    return Localised(pd.concat(map(pd.DataFrame, parts), ignore_index=True)[LOCALISED], whole)


def _perturbed(
    method: str, seed: int, ids: np.ndarray, protocol: str, insertion: np.ndarray, deletion: np.ndarray
) -> pd.DataFrame:
    columns = {"method": method, "seed": seed, "image_id": ids, "protocol": protocol, "insertion": insertion,
               "deletion": deletion, "id": insertion - deletion}  # fmt: skip
    return pd.DataFrame(columns)[PERTURBED]
