"""Compute the share of an image that a model attends to: pixels above half of the map's range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ala.config.schema import Settings
from ala.contracts.maps import Maps
from ala.metrics import iou
from ala.report import rows

#: The rows that the claim "AEA widens the attended region" compares.
COMPARED = ("ii", "iii")


def areas(settings: Settings, maps: Path) -> dict[tuple[str, int], pd.Series]:
    """Share `[0, 1]` of the pixels above 0.5 of each min-max-scaled test map, by (method, seed), then image id.

    The rule `fixed`, because mean + std selects nearly the same share of every smooth map (METHODS 5.4) and could not
    show a wider one. Methods without maps in the folder `maps` are absent.
    """
    found: dict[tuple[str, int], pd.Series] = {}
    for row in COMPARED:
        for seed in settings.seeds if row in settings.ablations else []:
            method = rows.scored_as(row, settings)
            path = maps / rows.place(method, seed, settings) / "test.npz"
            if not path.exists():
                continue
            content = Maps.load(path)
            ids, side = np.asarray(content.image_ids), settings.active.data.input_size
            shares = [
                iou.predict(iou.at_size(content, some, side), "fixed").mean(axis=(1, 2))  # (b,)
                for some in iou.chunks(ids, side)
            ]
            found[method, seed] = pd.Series(np.concatenate(shares), index=ids)
    return found
