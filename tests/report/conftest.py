"""A made-up run on disk, and cells whose means can be computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ala.config import Settings, load
from ala.contracts.scores import COLUMNS, FLAGS
from ala.report.run import Cell, Run
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
    """The report of that run without its page; leave it as it is."""
    return make(fake.folder, fake.settings, tmp_path_factory.mktemp("reports"))


@pytest.fixture
def settings() -> Settings:
    """The project's own settings, with seeds 0, 1, 2."""
    return load(ROOT / "params.yaml").model_copy(update={"seeds": [0, 1, 2]})


def make_cell(method: str, seed: int, iou: list[float], insertion: list[float] | None = None) -> Cell:
    """A cell with photos 1, 2, ... of classes 0, 1, 2, 0 ... and the given IoU under every rule; deletion is half of
    insertion."""
    n = len(iou)
    rows: dict[str, object] = dict.fromkeys(COLUMNS, 0)
    rows |= {"method": method, "seed": seed, "image_id": np.arange(1, n + 1), "correct": [True] + [False] * (n - 1)}
    rows["label"] = np.arange(n) % 3
    rows |= {f"iou_{rule}": iou for rule in ("mean_std", "fixed", "otsu", "val")}
    rows |= {flag: pd.array([value == 0 for value in iou], dtype="boolean") for flag in FLAGS}
    along = np.array([np.nan] * n if insertion is None else insertion)
    rows |= {"insertion": along, "deletion": along / 2, "id": along / 2}
    return Cell(method, seed, pd.DataFrame(rows)[COLUMNS], {}, {})


@pytest.fixture
def run_of(settings: Settings) -> Callable[..., Run]:
    """Make a run of some cells."""

    def make(*cells: Cell) -> Run:
        return Run(settings, {(cell.method, cell.seed): cell for cell in cells}, {}, {}, {}, {}, {})

    return make


@pytest.fixture
def cell_of() -> Callable[..., Cell]:
    return make_cell
