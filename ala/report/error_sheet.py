"""Draw the worst images on one sheet, sorted by kind of error, to illustrate the counts of `errors.csv`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ala.contracts.maps import Maps
from ala.data.image_cache import ImageCache
from ala.metrics import iou
from ala.metrics.errors import KINDS
from ala.report import gallery, style
from ala.report.run import Run

MOST = 40
COLUMNS = 8
CAPTION = (
    "The worst test images, at most 40, by kind of error and then by IoU. White: outline of the ground truth; cyan: of"
    " the prediction (map above its mean + standard deviation). OA: over-attended, IA: insufficiently attended."
)


def shown(top: pd.DataFrame, rho: float) -> pd.DataFrame:
    """The :data:`MOST` worst lines of `error_top.csv`, sorted by their kind under `rho`, then by IoU, then by id."""
    order = {kind: place for place, kind in enumerate(KINDS)}
    few = top.head(MOST).assign(kind=top[f"kind_{rho:g}"])
    few = few.assign(place=few["kind"].map(order))
    return few.sort_values(["place", "iou", "image_id"]).drop(columns="place").reset_index(drop=True)


def draw(top: pd.DataFrame, cache: ImageCache, maps: Path, run: Run, path: Path) -> bool:
    """Draw the sheet; False, and no file, where `top` has no lines.

    Args:
        top: from :func:`ala.report.errors.top`; its column `seed` says whose predictions are drawn.
        cache: test images at data.input_size.
        maps: the folder that the stage `explain` writes to.
        run: its settings name the main rho.
        path: of the PNG.

    Raises:
        UserError: a map or an image is missing.
    """
    import matplotlib.pyplot as plt

    if top.empty or run.main is None:
        return False
    settings = run.settings
    cases = shown(top, settings.active.errors.main_rho)
    ids, seed = cases["image_id"].to_numpy(), int(cases["seed"].iloc[0])
    where = cache.indices_of(ids)
    truth = cache.foreground(where, settings.active.data.mask_threshold)
    values = iou.at_size(Maps.load(maps / run.main.folder(seed) / "test.npz"), ids, cache.size)
    predicted = iou.predict(values, "mean_std")
    lines = -(-len(cases) // COLUMNS)
    figure, panels = plt.subplots(
        lines, COLUMNS, figsize=(1.35 * COLUMNS, 1.5 * lines), squeeze=False, layout="constrained"
    )
    for panel in panels.flat:
        panel.set_axis_off()
    for row, panel in zip(range(len(cases)), panels.flat, strict=False):
        panel.imshow(np.asarray(cache.images[where[row]]))
        gallery.outline(panel, predicted[row], style.OUTLINE, width=0.9)
        gallery.outline(panel, truth[row], "white", width=0.9)
        title = f"{cases['kind'][row]} · image {ids[row]} · IoU {cases['iou'][row]:.2f}"
        panel.set_title(title, fontsize=6.5, fontweight="normal", loc="center", pad=2)
    style.save(figure, path, images=True)
    return True
