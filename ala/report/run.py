"""A finished run in memory: its cells, one per method and seed, and what the other stages said about themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ala.config.schema import Settings
from ala.contracts.scores import LONG
from ala.metrics.curves import Curves
from ala.report import rows

#: The profile whose numbers may be judged by the slides': the same images and the same encoder.
COMPARABLE = "paper"


@dataclass(frozen=True)
class Cell:
    """One method at one seed.

    Attributes:
        scores: one row per image, in the columns of :data:`ala.contracts.scores.COLUMNS`, ascending ids.
        curves: mean probability over images along `insertion` and `deletion`, each `(T + 1,)`; empty if none was kept.
        summary: what the score stage wrote about it; empty where it wrote nothing.
        long: every score under every protocol, in the columns of :data:`ala.contracts.scores.LONG`.
        true_class: curves of the true class, None where they were not kept.
    """

    method: str
    seed: int
    scores: pd.DataFrame
    curves: dict[str, np.ndarray]
    summary: dict[str, Any]
    long: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=LONG))
    true_class: Curves | None = None

    @property
    def mapped(self) -> pd.DataFrame:
        """The images that have a map: RISE explains a subset only."""
        return self.scores[self.scores["iou_mean_std"].notna()]

    @property
    def perturbed(self) -> pd.DataFrame:
        """The images on which insertion and deletion were measured."""
        return self.scores[self.scores["insertion"].notna()]


@dataclass(frozen=True)
class Run:
    """All that the report is made of.

    Attributes:
        settings: those of the run.
        cells: by (method, seed); a pair that was not run is absent.
        training: training curves by (model, seed), one row per epoch.
        kept: the epoch whose state was kept as the model, by (model, seed), where the model says it.
        data, splits, encoder: what those stages wrote about themselves; empty where they wrote nothing.
        notes: sentences about what is missing or odd.
        areas: share of each image that is attended to, by (method, seed) (:mod:`ala.report.areas`).
        mark: what every page must say of this run (:func:`ala.contracts.origin.mark`); None for an ordinary one.
    """

    settings: Settings
    cells: dict[tuple[str, int], Cell]
    training: dict[tuple[str, int], pd.DataFrame]
    kept: dict[tuple[str, int], int]
    data: dict[str, Any]
    splits: dict[str, Any]
    encoder: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    areas: dict[tuple[str, int], pd.Series] = field(default_factory=dict)
    mark: str | None = None

    @property
    def comparable(self) -> bool:
        """Whether the slides' values judge this run: only CUB-200-2011 with OpenAI's CLIP ViT-B/16 is the same."""
        return self.settings.profile == COMPARABLE and self.mark is None

    def of(self, row: str) -> list[Cell]:
        """The cells behind row `row` of a table (`ala`, `iii`, `fcam` ...), in the order of the seeds."""
        method = rows.scored_as(row, self.settings)
        return [self.cells[method, seed] for seed in self.settings.seeds if (method, seed) in self.cells]

    def common(self, shown: Iterable[str], column: str) -> dict[int, frozenset[int]]:
        """Ids of the images on which all rows `shown` have a score in `column`, by seed.

        Means of two rows may be compared on these alone. A row without any such score at a seed takes no part in it.
        """
        scored: dict[int, list[frozenset[int]]] = {}
        for row in shown:
            for cell in self.of(row):
                images = frozenset(cell.scores.loc[cell.scores[column].notna(), "image_id"].tolist())
                if images:
                    scored.setdefault(cell.seed, []).append(images)
        return {seed: frozenset.intersection(*sets) for seed, sets in scored.items()}


def share(settings: Settings) -> np.ndarray:
    """Share of the pixels inserted or deleted at each point of a curve, `(T + 1,)` from 0 to 1."""
    pixels, step = settings.active.data.input_size**2, settings.active.metrics.step
    return np.minimum(np.arange(-(-pixels // step) + 1) * step, pixels) / pixels
