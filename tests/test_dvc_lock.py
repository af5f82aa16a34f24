"""dvc.lock holds the stages of dvc.yaml and nothing else: DVC keeps renamed ones, and rewrites all for each cell."""

from __future__ import annotations

from pathlib import Path

import yaml
from dvc.repo import Repo

ROOT = Path(__file__).parents[1]


def test_every_locked_stage_is_one_of_the_pipeline() -> None:
    entered = yaml.load((ROOT / "dvc.lock").read_text(), yaml.CSafeLoader)["stages"]
    with Repo(str(ROOT)) as repo:
        stages = {stage.name for stage in repo.index.stages}
    assert sorted(entered.keys() - stages) == []
