"""A small finished project, run once; each recipe is applied to a copy of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from ala.config import load
from tests.bad_inputs.world import ROOT, World, build, change, name_inputs
from tests.extending.recipes import Recipe

VARIANTS = [f"aea-{aea}-sbn-{sbn}" for aea in ("true", "false") for sbn in ("true", "false")]

#: Stages before the cells, and after them.
TRAINED = [
    "data", "split", "image_cache", "encoder", f"train --seed 0 {' '.join(f'--variant {one}' for one in VARIANTS)}",
    "train --seed 0 --variant abn", "fcam --seed 0",
]  # fmt: skip
AFTERWARDS = ["layers --seed 0", "edge --seed 0"]

#: Smaller still than the project of tests/bad_inputs.
SMALL: dict[str, Any] = {"rise": {"n_masks": 8}, "errors": {"at_least": 2}, "edge": {"kappas": [1.0]}}


@dataclass(frozen=True)
class Project(World):
    """A project in its folder, whose stages run in this process."""

    def apply(self, recipe: Recipe, settings: int = 0) -> None:
        """Do what the recipe says; no more."""
        recipe.apply(self.folder, settings)
        for name in [one for one in sys.modules if one.split(".")[0] == "plugins"]:
            self.patch.delitem(sys.modules, name)
        self.patch.syspath_prepend(self.folder)

    def stages(self, *commands: str) -> None:
        """Run commands, each as if in a process of its own."""
        for command in commands:
            forget()
            done = self.run(command)
            assert done.exit_code == 0, f"{command}: {done.output} {done.exception!r}"

    def score(self, *cells: str) -> None:
        """Run cells, default all, and what DVC runs before each of them."""
        self.stages("methods --seed 0", *(f"score --seed 0 --methods {one}" for one in cells or self.cells))

    @property
    def cells(self) -> list[str]:
        """The entries of `methods`."""
        return load(self / "params.yaml").methods

    def table(self, name: str) -> pd.DataFrame:
        """A table of the report, as text."""
        return pd.read_csv(self / "reports/tables" / f"{name}.csv", dtype=str, keep_default_na=False)

    def scores(self, cell: str, method: str) -> pd.DataFrame:
        """The long scores of a method."""
        return pd.read_csv(self / "scores" / cell / "seed-0" / method / "scores.csv")


def forget() -> None:
    """Empty what the pipeline's modules keep in memory; it is named by relative paths, and each project has its own."""
    for module in [module for name, module in sys.modules.items() if name.startswith("ala.")]:
        for name, value in vars(module).items():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
            elif name.startswith("_") and name.islower() and isinstance(value, dict) and not name.startswith("__"):
                value.clear()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which every stage but the report has run."""
    folder = tmp_path_factory.mktemp("extending") / "project"
    build(folder, commands=[])
    change(folder / "params.yaml", SMALL)
    shutil.copytree(ROOT / "plugins", folder / "plugins")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALA_STATE", str(folder / "state"))
        project = Project(folder, patch)
        project.stages(*TRAINED)
        project.score()
        project.stages(*AFTERWARDS)
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Iterator[Project]:
    """A copy of its own for each test."""
    before = torch.get_num_threads()
    folder = tmp_path / "project"
    shutil.copytree(finished, folder, symlinks=True)
    name_inputs(folder, data="photos", encoder="weights.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALA_STATE", str(folder / "state"))
        yield Project(folder, patch)
    torch.set_num_threads(before)


def settings(project: Project) -> dict[str, Any]:
    """params.yaml, as it is."""
    return yaml.safe_load((project / "params.yaml").read_text())
