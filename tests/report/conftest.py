"""A made-up run on disk, and scores whose means can be computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ala.config import Settings, load
from ala.metrics.iou import RULES
from ala.report.rows import rows_of
from ala.report.run import Key, Run
from tests.report.built import Built, make
from tests.report.fake_run import ROOT, write_params, write_run


@dataclass(frozen=True)
class Fake:
    folder: Path
    settings: Settings


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Fake:
    """A whole run; treat it as read-only."""
    folder = tmp_path_factory.mktemp("run")
    settings = write_params(folder)
    write_run(folder, settings)
    return Fake(folder, settings)


@pytest.fixture(scope="session")
def built(fake: Fake, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The report of that run; leave it as it is."""
    return make(fake.folder, fake.settings, tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The project's own settings, with seeds 0, 1, 2."""
    return load(ROOT / "params.yaml").model_copy(update={"seeds": [0, 1, 2]})


#: Scores of one method and seed.
Cell = dict[Key, pd.Series]


def make_cell(method: str, seed: int, iou: list[float], insertion: list[float] | None = None) -> Cell:
    """A cell with images 1, 2, ... of classes 0, 1, 2, 0 ... and the given IoU under every rule; deletion is half of
    insertion. What is NaN was not measured."""
    n = len(iou)
    along = np.full(n, np.nan) if insertion is None else np.array(insertion)
    columns = {
        ("prediction", "label"): np.arange(n) % 3, ("prediction", "correct"): np.arange(n) == 0,
        **{(f"majority-{rule}", "iou"): iou for rule in RULES},
        **{(f"majority-{rule}", "empty"): np.where(np.isnan(iou), np.nan, np.array(iou) == 0) for rule in RULES},
        ("official-predicted", "insertion"): along, ("official-predicted", "deletion"): along / 2,
        ("official-predicted", "id"): along / 2,
    }  # fmt: skip
    ids = np.arange(1, n + 1)
    return {Key(method, seed, *name): pd.Series(np.asarray(values, float), index=ids).dropna()
            for name, values in columns.items()}  # fmt: skip


@pytest.fixture
def run_of(settings: Settings) -> Callable[..., Run]:
    """Make a run of some cells."""
    rows = rows_of(settings)

    def make(*cells: Cell) -> Run:
        scores = {key: values for cell in cells for key, values in cell.items()}
        return Run(settings, rows, {(key.method, key.seed): {} for key in scores}, scores)

    return make


def changed(run: Run, **settings: Any) -> Run:
    """The run under other top-level settings."""
    new = run.settings.model_copy(update=settings)
    return replace(run, settings=new, rows=rows_of(new))


def of_profile(run: Run, **sections: Any) -> Run:
    """The run under other sections of its profile."""
    active = run.settings.active.model_copy(update=sections)
    return changed(run, profiles={run.settings.profile: active})


@pytest.fixture
def cell_of() -> Callable[..., Cell]:
    return make_cell
