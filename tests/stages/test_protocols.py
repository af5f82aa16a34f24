"""The stage `protocols` on toy models: what it writes, again byte for byte, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer import Typer
from typer.testing import CliRunner

import stages.evaluate
import stages.explain
import stages.protocols
from ala.metrics.protocols import LAB
from tests.stages.test_explain_evaluate import project, run

__all__ = ["project"]  # the fixture

METHODS = [f"aea-{aea}-sbn-{sbn}" for aea in ("true", "false") for sbn in ("true", "false")]
METHODS += ["abn", "fcam", "rise", "trivial"]


def protocols(project: Path) -> Any:
    app = Typer()
    app.command()(stages.protocols.main)
    options = {"params": "params.yaml", "store": "store", "models": "models", "maps": "maps", "scores": "scores"}
    where = [word for name, path in options.items() for word in (f"--{name}", str(project / path))]
    return CliRunner().invoke(app, ["--seed", "1", "--device", "cpu", *where])


@pytest.fixture
def scored(project: Path) -> Path:
    for method in METHODS:
        for stage in (stages.explain, stages.evaluate):
            result = run(stage, project, method)
            assert result.exit_code == 0, result.output
    return project


def test_all_methods_under_all_protocols_and_again_the_same(scored: Path) -> None:
    first: dict[str, bytes] = {}
    for _ in range(2):
        result = protocols(scored)
        assert result.exit_code == 0, result.output
        files = {path.name: path.read_bytes() for path in (scored / "scores/protocols/seed-1").iterdir()}
        assert not first or files == first
        first = files
    assert sorted(first) == ["SHA256SUMS", "common.csv", "lab.csv", "localisation.csv", "summary.json"]
    lab = pd.read_csv(scored / "scores/protocols/seed-1/lab.csv")
    names = {*METHODS[:-1], "full", "center", "noise", "box"}
    assert set(lab["method"]) == names
    assert set(lab["protocol"]) == set(LAB)
    assert lab.groupby(["method", "protocol"]).size().unique().tolist() == [4]  # two photos of each of two classes
    assert ((lab["insertion"] >= 0) & (lab["insertion"] <= 1)).all()
    np.testing.assert_allclose(lab["insertion"] - lab["deletion"], lab["id"])
    common = pd.read_csv(scored / "scores/protocols/seed-1/common.csv")
    assert set(common["method"]) == {"aea-true-sbn-false", "aea-false-sbn-true", "aea-false-sbn-false", "abn", "fcam"}
    # All toys are one model, so the common model says what their own has said.
    for method in ("abn", "fcam"):
        own = pd.read_csv(scored / f"scores/{method}/seed-1/scores.csv").dropna(subset=["insertion"])
        mine = common[common["method"] == method]
        np.testing.assert_allclose(mine["insertion"], own["insertion"], atol=1e-6)
    summary = json.loads(first["summary.json"])
    assert set(summary) == names
    assert all(0 <= summary[name]["pxap"] <= 1 for name in names)
    for one in summary.values():
        assert {one[key]["device"] for key in ("used", "used_common")} == {"cpu"}


def test_edited_scores_are_refused(scored: Path) -> None:
    path = scored / "scores/abn/seed-1/summary.json"
    path.write_text(path.read_text() + " ")
    result = protocols(scored)
    assert result.exit_code == 2
    assert "summary.json was changed after it was written" in result.output
    assert not (scored / "scores/protocols").exists()
