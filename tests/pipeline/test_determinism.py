"""The same seed gives the same bytes on a CPU, whatever the batch and the number of threads of evaluation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from ala.config import load
from tests.pipeline.conftest import Scratch

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]


@pytest.mark.parametrize(("batch", "threads"), [(5, 2), (100, 3)])
def test_batch_and_threads_change_no_byte_of_maps_and_scores(
    scratch: Scratch, tmp_path: Path, batch: int, threads: int
) -> None:
    """The pipeline ran with batches of 64 on one thread."""
    params = yaml.safe_load((scratch.folder / "params.yaml").read_text())
    mini = params["profiles"]["mini"]
    assert (mini["metrics"]["batch"], mini["rise"]["batch"]) == (64, 64)
    mini["metrics"]["batch"] = mini["rise"]["batch"] = batch
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    maps, scores = tmp_path / "maps", tmp_path / "scores"
    common = ["--seed", "0", "--params", str(tmp_path / "params.yaml"), "--maps", str(maps)]
    start = ["env", f"OMP_NUM_THREADS={threads}", f"ALA_STATE={tmp_path / 'state'}", "python", "-m"]
    cells = load(tmp_path / "params.yaml").methods
    for cell in cells:
        scratch.run(*start, "stages.score", *common, "--methods", cell, "--scores", str(scores))
    made = sorted(path.relative_to(tmp_path) for folder in (maps, scores) for path in folder.rglob("*.*"))
    assert len(made) == (4 + 1 + 1 + 1 + 4) * (3 + 4)
    assert [os.fspath(path) for path in made if content(tmp_path / path) != content(scratch.folder / path)] == []
    one, other = (
        json.loads((root / "maps/abn/seed-0/abn/used.json").read_text()) for root in (tmp_path, scratch.folder)
    )
    # torch takes no more threads than there are cores
    asked = scratch.run(*start[:3], "python", "-c", "import torch; print(torch.get_num_threads())")
    has = int(asked.stdout)
    assert [(each["used"]["threads"], each["used"]["batch"]) for each in (one, other)] == [(has, batch), (1, 64)]


def content(path: Path) -> object:
    """The bytes of maps, tables and curves; of a JSON file all but what the models were run with."""
    return without_used(json.loads(path.read_text())) if path.suffix == ".json" else path.read_bytes()


def without_used(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: without_used(part) for name, part in value.items() if not name.startswith("used")}
