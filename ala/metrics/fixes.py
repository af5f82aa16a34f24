"""Score fixes of finished maps: IoU on all images, insertion and deletion on the subset (METHODS 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import pandas as pd

from ala.config.schema import Metrics
from ala.contracts.maps import Computed, Maps
from ala.data.image_cache import ImageCache
from ala.metrics import iou
from ala.metrics.curves import area
from ala.metrics.fix_tables import FIX_COLUMNS
from ala.metrics.insertion_deletion import blur_kernel, insertion_deletion
from ala.metrics.scoring import Arrays, Evaluated


class Fixed(Protocol):
    """Fixed maps float32 `(n, S, S)` and their predictions, boolean `(n, S, S)`."""

    @property
    def importance(self) -> np.ndarray: ...
    @property
    def foreground(self) -> np.ndarray: ...


#: Function of maps float32 `(n, S, S)` in [0, 1] and their images uint8 `(n, S, S, 3)` that returns the fixed maps.
Fix = Callable[[np.ndarray, np.ndarray], Fixed]


def overlaps(fix: Fix, maps: Maps, cache: ImageCache, index: np.ndarray, mask_threshold: int) -> Arrays:
    """Compute `iou` float64 `(n,)`, and `empty` boolean `(n,)`: whether the prediction has no pixel.

    Args:
        fix: function that changes the maps.
        maps: of the images of `image_cache`.
        cache: images and masks at the size of the evaluation.
        index: int `(n,)`, indices of `image_cache`.
        mask_threshold: foreground where grey > threshold.
    """
    scores: list[np.ndarray] = []
    empty: list[np.ndarray] = []
    for some, one in _fixed(fix, maps, cache, index):
        scores.append(iou.iou(one.foreground, cache.foreground(some, mask_threshold)))
        empty.append(~np.asarray(one.foreground.any(axis=(1, 2))))
    return {"iou": np.concatenate(scores), "empty": np.concatenate(empty)}


def curve_areas(
    fix: Fix, maps: Maps, cache: ImageCache, index: np.ndarray, evaluated: Evaluated, settings: Metrics
) -> Arrays:
    """Compute `insertion` and `deletion` float64 `(n,)` of fixed maps, as everywhere else (METHODS 5).

    Args:
        fix, maps, image cache, index: as in :func:`overlaps`.
        evaluated: the model that the maps explain.
        settings: the `metrics` block.
    """
    chosen = evaluated.images.indices_of(cache.image_ids[index])

    def fixed(indices: np.ndarray) -> np.ndarray:  # (b, S, S)
        return np.concatenate([one.importance for _, one in _fixed(fix, maps, cache, indices)])

    curves = insertion_deletion(
        evaluated.classifier, evaluated.images, chosen, Computed(fixed, index), evaluated.full[chosen], method="fix",
        step=settings.step,
        kernel=blur_kernel(settings.blur_kernel, settings.blur_sigma), seed=settings.subset_seed,
        batch=settings.batch, device=evaluated.device, reference_size=cache.size,
    )  # fmt: skip
    return {"insertion": area(curves.insertion), "deletion": area(curves.deletion)}


def fix_rows(name: str, seed: int, cache: ImageCache, found: Arrays, subset: np.ndarray, areas: Arrays) -> pd.DataFrame:
    """Make one row per image of `image_cache` in the columns of `edge.csv`.

    Args:
        name: of the fix.
        seed: of the run.
        found: what :func:`overlaps` found for all images.
        subset: the indices for which :func:`curve_areas` found `areas`.
    """
    rows = pd.DataFrame({"fix": name, "seed": seed, "image_id": cache.image_ids, **found})
    for kind, values in areas.items():
        rows[kind] = np.nan
        rows.loc[subset, kind] = values
    rows["id"] = rows["insertion"] - rows["deletion"]
    return rows[FIX_COLUMNS]


def original_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """Make the rows of `edge.csv` for unchanged maps from their existing scores."""
    named = {"iou_mean_std": "iou", "empty_mean_std": "empty"}
    rows = scores.rename(columns=named).assign(fix="original")[FIX_COLUMNS]
    return rows.astype({"empty": bool}).reset_index(drop=True)


def _fixed(fix: Fix, maps: Maps, cache: ImageCache, indices: np.ndarray) -> Iterator[tuple[np.ndarray, Fixed]]:
    """Yield indices of `image_cache`, a few at a time, with their fixed maps."""
    for some in iou.chunks(indices, cache.size):
        values = iou.at_size(maps, cache.image_ids[some], cache.size)
        yield some, fix(values, np.asarray(cache.images[some]))
