"""A finished run in memory: the scores of all images, and what the stages said about themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ala.config.schema import Settings
from ala.report.rows import Row, Rows
from ala.report.summary import METRICS, Images, Pair, align, common

#: The profile whose numbers may be judged by the slides': the same images and the same encoder.
COMPARABLE = "paper"


class Key(NamedTuple):
    """What a series of scores is of."""

    method: str
    seed: int
    protocol: str
    metric: str


@dataclass(frozen=True)
class Run:
    """All that the report is made of.

    Attributes:
        settings: those of the run.
        rows: of the tables.
        summaries: what the score stage said, by (method, seed); a pair that was not run is absent.
        scores: value by image id, ascending; by what it is of.
        whole: numbers of the whole set, by what they are of.
        curves: mean probability over images along `insertion` and `deletion`, each `(T + 1,)`, by (method, seed).
        training: training curves by (model, seed), one row per epoch.
        kept: the epoch whose state was kept as the model, by (model, seed), where the model says it.
        data, splits, encoder: what those stages wrote about themselves; empty where they wrote nothing.
        notes: sentences about what is missing or odd.
        mark: what every page must say of this run (:func:`ala.contracts.origin.mark`); None for an ordinary one.
    """

    settings: Settings
    rows: Rows
    summaries: dict[tuple[str, int], dict[str, Any]]
    scores: dict[Key, pd.Series]
    whole: dict[Key, float] = field(default_factory=dict)
    curves: dict[tuple[str, int], dict[str, np.ndarray]] = field(default_factory=dict)
    training: dict[tuple[str, int], pd.DataFrame] = field(default_factory=dict)
    kept: dict[tuple[str, int], int] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    splits: dict[str, Any] = field(default_factory=dict)
    encoder: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    mark: str | None = None

    @property
    def comparable(self) -> bool:
        """Whether the slides' values judge this run: only CUB-200-2011 with OpenAI's CLIP ViT-B/16 is the same."""
        return self.settings.profile == COMPARABLE and self.mark is None

    @property
    def main(self) -> Row | None:
        """The row of the main model's own map; None where `methods` does not name it."""
        return next((row for row in self.rows if row.method == self.settings.main_variant), None)

    def seeds(self, row: Row | str) -> list[int]:
        """The seeds at which a row was run, in the order of the settings."""
        method = self._row(row).method
        return [seed for seed in self.settings.seeds if (method, seed) in self.summaries]

    def of(self, row: Row | str, metric: str) -> dict[int, pd.Series]:
        """Scores of a row in a metric of :data:`ala.report.summary.METRICS`, for every seed at which it was run."""
        wanted = METRICS[metric]
        return self.under(row, wanted.protocol, wanted.metric)

    def under(self, row: Row | str, protocol: str, metric: str) -> dict[int, pd.Series]:
        """Scores of a row in a metric under a protocol, for every seed at which it was run."""
        method, none = self._row(row).method, pd.Series(dtype=float)
        return {seed: self.scores.get(Key(method, seed, protocol, metric), none) for seed in self.seeds(row)}

    def common(self, shown: Iterable[Row], metric: str) -> Images:
        """Ids of the images on which all rows `shown` have a score, by seed."""
        return common(self.of(row, metric) for row in shown)

    def labels(self, row: Row | str) -> pd.Series:
        """The class of each image that a row was scored on, by image id."""
        parts = [pd.Series(dtype=int), *(one.astype(int) for one in self.under(row, "prediction", "label").values())]
        joined = pd.concat(parts)
        return joined[~joined.index.duplicated()]

    def pair(self, first: str, second: str, metric: str) -> Pair | None:
        """Two rows on their common images and seeds; None where they have nothing in common, or do not exist."""
        if first not in self.rows or second not in self.rows:
            return None
        return align(self.of(first, metric), self.of(second, metric), self.labels(first))

    def files(self, row: Row | str, name: str = "scores.csv") -> str:
        """The files NAME behind a row, one for each seed that was run, with spaces between."""
        found = self._row(row)
        return " ".join(f"scores/{found.folder(seed)}/{name}" for seed in self.seeds(found))

    def _row(self, row: Row | str) -> Row:
        return self.rows[row] if isinstance(row, str) else row


def share(settings: Settings) -> np.ndarray:
    """Share of the pixels inserted or deleted at each point of a curve, `(T + 1,)` from 0 to 1."""
    pixels, step = settings.active.data.input_size**2, settings.active.metrics.step
    return np.minimum(np.arange(-(-pixels // step) + 1) * step, pixels) / pixels
