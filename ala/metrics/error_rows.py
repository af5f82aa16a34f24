"""Classify the error of each image's map under every threshold rule: the rows of `errors.csv` (METHODS 6)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ala.contracts.maps import Maps
from ala.data.image_cache import ImageCache, is_object
from ala.metrics import errors, iou
from ala.metrics.fix_tables import ERROR_COLUMNS, RULES
from ala.utils import ledger
from ala.utils.errors import UserError


def val_tau(maps: Maps, cache: ImageCache, mask_threshold: int) -> float:
    """Choose the threshold of the rule `val` from maps of all validation images."""
    parts = [
        iou.iou_by_tau(
            iou.at_size(maps, cache.image_ids[indices], cache.size), cache.foreground(indices, mask_threshold)
        )
        for indices in iou.chunks(np.arange(len(cache)), cache.size)
    ]
    return iou.best_tau(np.concatenate(parts))


@ledger.work("errors of test maps")
def error_rows(
    maps: Maps, cache: ImageCache, mask_threshold: int, scores: pd.DataFrame, tau: float, seed: int
) -> pd.DataFrame:
    """Make one row per rule and test image in the columns of `errors.csv`.

    Args:
        maps: of all test images.
        cache: test images and masks.
        mask_threshold: foreground where grey > threshold.
        scores: of these maps, one row per image of `image_cache`, in its order; they tell which images are
            misclassified.
        tau: the threshold of the rule `val`.
        seed: of the run.

    Raises:
        UserError: the scores are of other images or other maps.
    """
    if scores["image_id"].tolist() != cache.image_ids.tolist():
        raise UserError(
            f"the scores of {maps.method}, seed {seed}, are of other images than the image cache; evaluate again"
        )
    correct = scores["correct"].to_numpy(dtype=bool)
    parts = []
    for rule in RULES:
        found = {name: np.zeros(len(cache)) for name in ("iou", "fp", "fn")}
        flagged = {name: np.zeros(len(cache), dtype=bool) for name in errors.FLAGS}
        for indices in iou.chunks(np.arange(len(cache)), cache.size):
            predictions = iou.predict(iou.at_size(maps, cache.image_ids[indices], cache.size), rule, tau)
            greys = np.asarray(cache.masks[indices])
            for name, values in errors.shares(predictions, is_object(greys, mask_threshold)).items():
                found[name][indices] = values
            odd = errors.flags(predictions, greys, mask_threshold, found["iou"][indices], correct[indices])
            for name, values in odd.items():
                flagged[name][indices] = values
        if not np.allclose(found["iou"], scores[f"iou_{rule}"], atol=1e-9):
            raise UserError(
                f"the maps of {maps.method}, seed {seed}, give another IoU ({rule}) than their scores tell;"
                f" run `dvc repro edge@{seed}` again"
            )
        head = {"rule": rule, "seed": seed, "image_id": cache.image_ids, "label": cache.labels}
        parts.append(pd.DataFrame({**head, **found, **flagged})[ERROR_COLUMNS])
    return pd.concat(parts, ignore_index=True)
