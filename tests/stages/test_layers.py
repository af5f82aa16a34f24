"""The stage `layers`: killed in a training or between two, it goes on and writes the bytes of an unbroken run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer import Typer
from typer.testing import CliRunner

import stages.layers
from ala.training import loop
from tests.stages import test_train
from tests.stages.test_train import IMAGE_SIZE

trained_project = test_train.project  # the fixture


class Killed(BaseException):
    """Raised where a kill would end the process."""


@pytest.fixture
def project(trained_project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With test images, the trained models that the stage reads, and two layers to look into."""
    monkeypatch.setenv("ALA_STATE", str(trained_project / "state"))
    monkeypatch.delenv("DVC_STAGE", raising=False)
    folder = trained_project / "image_cache" / str(IMAGE_SIZE)
    for part in ("images", "masks", "ids", "labels", "boxes"):
        values = np.load(folder / f"val-{part}.npy")
        np.save(folder / f"test-{part}.npy", values + 100 if part == "ids" else values)
    about = json.loads((folder / "image_cache.json").read_text())
    about["splits"]["test"] = about["splits"]["val"]
    (folder / "image_cache.json").write_text(json.dumps(about))
    path = trained_project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["profiles"]["mini"]["layers"] = {"abn": [0, 1, 2]}
    path.write_text(yaml.safe_dump(params))
    for variant in ("abn", "aea-true-sbn-true"):
        result = test_train.run(trained_project, variant)
        assert result.exit_code == 0, result.output
    return trained_project


def run(project: Path, scores: str) -> dict[str, bytes]:
    app = Typer()
    app.command()(stages.layers.main)
    options = {"params": "params.yaml", "images": "image_cache", "models": "models", "scores": scores}
    where = [word for name, path in options.items() for word in (f"--{name}", str(project / path))]
    result = CliRunner().invoke(app, ["--seed", "1", "--device", "cpu", *where])
    assert result.exit_code == 0, result.output
    return {path.name: path.read_bytes() for path in (project / scores / "layers/seed-1").iterdir()}


def count_epochs(patch: pytest.MonkeyPatch, last: int | None = None) -> list[int]:
    """Kill the run in the epoch after number `last` of its epochs; the list receives those that begin."""
    begun, real = [], loop.run_epoch

    def mortal(task: Any, epoch: Any, *rest: Any) -> Any:
        begun.append(epoch.index)
        if last is not None and len(begun) > last:
            raise Killed
        return real(task, epoch, *rest)

    patch.setattr(loop, "run_epoch", mortal)
    return begun


def test_trainings_go_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken = run(project, "unbroken")
    shutil.rmtree(project / "state")  # the finished trainings
    summary = json.loads(unbroken["summary.json"])
    assert {(one["used"]["batch"], one["used_in_training"]["batch"]) for one in summary.values()} == {(64, 8)}
    with monkeypatch.context() as patch:
        count_epochs(patch, 6)  # layer 0 has its four epochs, layer 1 two
        with pytest.raises(Killed):
            run(project, "scores")
    with monkeypatch.context() as patch:
        begun = count_epochs(patch)
        patch.setattr("ala.pipeline.layers.weigh_features", lambda *args: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            run(project, "scores")
        assert begun == [2, 3]
    with monkeypatch.context() as patch:
        begun = count_epochs(patch)
        assert run(project, "scores") == unbroken
        assert begun == []


def test_other_settings_train_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        count_epochs(patch, 3)
        with pytest.raises(Killed):
            run(project, "scores")
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["profiles"]["mini"]["train"]["lr"] *= 2
    path.write_text(yaml.safe_dump(params))
    begun = count_epochs(monkeypatch)
    run(project, "scores")
    assert begun == [0, 1, 2, 3] * 2
