"""Score fixes of finished maps: IoU on all images, insertion and deletion on the subset (METHODS 6)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Protocol, TypeVar

import numpy as np
import pandas as pd

from ala.config.schema import Metrics
from ala.contracts.maps import Computed, Maps
from ala.data.store import Store, subset_rows
from ala.metrics import iou
from ala.metrics.curves import area
from ala.metrics.fix_tables import FIX_COLUMNS
from ala.metrics.insertion_deletion import blur_kernel, insertion_deletion
from ala.metrics.scoring import Evaluated
from ala.utils.progress import progress


class Fixed(Protocol):
    """Fixed maps float32 `(n, S, S)` and their predictions, boolean `(n, S, S)`."""

    @property
    def importance(self) -> np.ndarray: ...
    @property
    def foreground(self) -> np.ndarray: ...


#: Function of maps float32 `(n, S, S)` in [0, 1] and their images uint8 `(n, S, S, 3)` that returns the fixed maps.
Fix = Callable[[np.ndarray, np.ndarray], Fixed]
Choice = TypeVar("Choice", bound=Hashable)


def best(
    candidates: Mapping[Choice, Fix], maps: Maps, store: Store, mask_threshold: int
) -> tuple[Choice, dict[Choice, float]]:
    """Find the candidate with the largest mean IoU on all images of `store` (the first of equals); return all mean
    IoUs, too.

    It is meant for validation images: a choice on test images would be biased.
    """
    found = {name: float(_ious(fix, maps, store, mask_threshold)[0].mean()) for name, fix in candidates.items()}
    return max(found, key=lambda name: found[name]), found


def score_fix(
    name: str,
    fix: Fix,
    maps: Maps,
    store: Store,
    mask_threshold: int,
    evaluated: Evaluated,
    settings: Metrics,
    seed: int,
) -> pd.DataFrame:
    """Make one row per test image in the columns of `edge.csv`.

    Args:
        name: of the fix.
        fix: function that changes the maps.
        maps: of all test images.
        store: test images and masks at the side of the evaluation.
        mask_threshold: foreground where grey > threshold.
        evaluated: the model that the maps explain.
        settings: the `metrics` block; insertion and deletion as everywhere.
        seed: of the run, kept in the rows.
    """
    ious, empty = _ious(fix, maps, store, mask_threshold)
    subset = subset_rows(store, settings.images_per_class, settings.subset_seed)
    chosen = evaluated.images.rows_of(store.image_ids[subset])

    def fixed(rows: np.ndarray) -> np.ndarray:  # (b, S, S)
        return np.concatenate([one.importance for _, one in _fixed(fix, maps, store, rows)])

    curves = insertion_deletion(
        evaluated.classifier, evaluated.images, chosen, Computed(fixed, subset), evaluated.full[chosen], method=name,
        step=settings.step,
        kernel=blur_kernel(settings.blur_kernel, settings.blur_sigma), seed=settings.subset_seed,
        batch=settings.batch, device=evaluated.device, reference_side=store.size,
    )  # fmt: skip
    rows = pd.DataFrame({"fix": name, "seed": seed, "image_id": store.image_ids, "iou": ious, "empty": empty})
    for kind, values in {"insertion": area(curves.insertion), "deletion": area(curves.deletion)}.items():
        rows[kind] = np.nan
        rows.loc[subset, kind] = values
    rows["id"] = rows["insertion"] - rows["deletion"]
    return rows[FIX_COLUMNS]


def original_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """Make the rows of `edge.csv` for unchanged maps from their existing scores."""
    named = {"iou_mean_std": "iou", "empty_mean_std": "empty"}
    rows = scores.rename(columns=named).assign(fix="original")[FIX_COLUMNS]
    return rows.astype({"empty": bool}).reset_index(drop=True)


def _ious(fix: Fix, maps: Maps, store: Store, mask_threshold: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute IoU and whether the prediction is empty, float64 and boolean `(n,)`, of all images of `store`."""
    scores, empty = np.zeros(len(store)), np.zeros(len(store), dtype=bool)
    for rows, one in _fixed(fix, maps, store, np.arange(len(store))):
        scores[rows] = iou.iou(one.foreground, store.foreground(rows, mask_threshold))
        empty[rows] = ~one.foreground.any(axis=(1, 2))
    return scores, empty


def _fixed(fix: Fix, maps: Maps, store: Store, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Fixed]]:
    """Yield indices of `store`, a few at a time, with their fixed maps."""
    with progress(len(rows), f"fixes of {store.split} maps", unit="image") as advance:
        for some in iou.chunks(rows, store.size):
            values = iou.at_size(maps, store.image_ids[some], store.size)
            yield some, fix(values, np.asarray(store.images[some]))
            advance(len(some))
