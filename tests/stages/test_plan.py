"""`python -m stages.plan`: what it prints, for people and for programs, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

import ala.plan.plan
import stages.plan
from ala.plan.calibrate import Rate
from tests.imports import ROOT

LINE = {"stage", "cells", "forwards", "flops", "download_bytes", "disk_bytes", "memory_bytes", "seconds", "timed"}


def plan(*words: str) -> Any:
    app = Typer()
    app.command()(stages.plan.main)
    return CliRunner().invoke(app, ["--params", str(ROOT / "params.yaml"), "--device", "cpu", *words])


@pytest.fixture
def no_timing(monkeypatch):
    """Every unit of work takes a millisecond."""
    monkeypatch.setattr(ala.plan.plan, "calibrate", lambda jobs, *_, **__: {job.kind: Rate(1e-3) for job in jobs})


@pytest.mark.slow
def test_a_real_calibration_of_the_miniature():
    result = plan("--profile", "mini", "--seconds", "3", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found) == {
        "profile", "device", "seeds", "photos", "calibration_seconds", "around_cell_seconds", "stages", "all", "kinds"
    }  # fmt: skip
    assert all(set(line) == LINE for line in (*found["stages"], found["all"]))
    assert all(line["seconds"] > 0 and 0 <= line["timed"] <= 1 for line in found["stages"])
    assert found["photos"] == {"classes": 10, "train": 250, "val": 50, "test": 290}
    assert {kind["like"] for kind in found["kinds"]} - {None} <= {kind["kind"] for kind in found["kinds"]}


@pytest.mark.slow
def test_the_papers_setting_without_data_weights_or_network(no_timing):
    result = plan("--profile", "paper")
    assert result.exit_code == 0, result.output
    assert "11,788 photos of 200 classes (5,000 train, 994 val, 5,794 test)" in result.stdout
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "1.2 GB" in rows["data"]
    assert "4,801,200" not in rows["rise"]  # that is one seed
    assert "14,403,600" in rows["rise"]


@pytest.mark.slow
def test_photos_that_are_not_there_can_be_told(no_timing):
    refused = plan("--profile", "photos")
    assert refused.exit_code == 2
    assert "--photos CLASSES TRAIN TEST" in refused.stderr
    result = plan("--profile", "photos", "--photos", "10", "418", "414")
    assert result.exit_code == 0, result.output
    assert "832 photos of 10 classes (220 train, 198 val, 414 test)" in result.stdout


def test_an_unknown_profile_is_one_sentence():
    result = plan("--profile", "maxi")
    assert result.exit_code == 2
    assert "profile 'maxi' does not exist; choose one of mini" in result.stderr
    assert "Traceback" not in result.stderr
