"""The plan: a larger run from the ledger of a smaller one, where the ledger is from, and what is not known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

import stages.plan
from ala.config import load
from ala.config.schema import Settings
from ala.pipeline.amounts import CUB_SPLIT, Images, amounts, count
from ala.pipeline.plan import plan
from ala.utils.errors import UserError
from ala.utils.files import write_json
from tests.data.conftest import write_cub
from tests.imports import ROOT

SETTINGS = load(ROOT / "params.yaml")
MINI = SETTINGS.profiles["mini"]
ONCE = ("check", "data", "split", "image_cache", "encoder", "report")


def entry(
    stage: str, profile: str = "mini", settings: Any = None, seconds: float = 10.0, **work: Any
) -> dict[str, Any]:
    """A record of a cell; each `work` is units, seconds, and those of the first part."""
    keys = ("units", "seconds", "first_units", "first_seconds")
    return {
        "stage": stage, "profile": profile, "seconds": seconds, "peak_memory_mb": 500, "peak_device_memory_mb": None,
        "device": "cpu", "threads": 2, "settings": (settings or SETTINGS.profiles[profile]).model_dump(mode="json"),
        "work": {kind.replace("_", " "): dict(zip(keys, spent, strict=True)) for kind, spent in work.items()},
    }  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def record(project: Path, *entries: dict[str, Any]) -> None:
    for one in entries:
        write_json(project / "state/ledger" / one["profile"] / f"{one['stage']}.json", one)


def mini(**changes: Any) -> Settings:
    """The settings with changes of the miniature, by block."""
    blocks = {name: getattr(MINI, name).model_copy(update=values) for name, values in changes.items()}
    return SETTINGS.model_copy(update={"profiles": {**SETTINGS.profiles, "mini": MINI.model_copy(update=blocks)}})


def seconds(settings: Settings, project: Path, cell: str) -> float:
    return next(line.seconds for line in plan(settings, project).lines if line.cell == cell)


def test_three_seeds_from_the_ledger_of_one(project):
    record(project, *map(entry, ONCE), entry("train@0", seconds=20), entry("score@rise-0", seconds=40))
    made = plan(SETTINGS, project)
    found = {line.cell: (line.cells, line.seconds) for line in made.lines}
    assert found["train"] == (3, 60)
    assert found["score@rise"] == (3, 120)
    assert found["report"] == (1, 10)
    assert [line.seconds for line in made.lines] == sorted((line.seconds for line in made.lines), reverse=True)
    assert made.total.seconds == 60 + 120 + 10 * len(ONCE) + 2 * (6 + len(ONCE))
    assert made.sources == ["runs of the profile mini on this machine, on cpu, 2 threads"]
    (unknown,) = made.unknown
    assert "edge, report" not in unknown
    assert "layers, edge, which no ledger has" in unknown


def test_work_grows_with_its_settings_and_the_rest_stays(project):
    work = {"rise": (1000, 20.0, 64, 1.28), "explain_test_by_rise": (290, 4.0, 64, 1.0)}
    record(project, entry("score@rise-0", seconds=30, **work))
    assert seconds(SETTINGS, project, "score@rise") == 3 * 30
    more = mini(rise={"n_masks": 2 * MINI.rise.n_masks})
    assert seconds(more, project, "score@rise") == pytest.approx(3 * (30 + 20))


def test_what_a_process_does_once_is_not_multiplied(project):
    record(project, entry("score@rise-0", seconds=25, rise=(100, 20.0, 10, 11.0)))  # 9 s for 90: 1 s for 10, 10 s once
    more = mini(rise={"n_masks": 3 * MINI.rise.n_masks})
    assert seconds(more, project, "score@rise") == pytest.approx(3 * (5 + 10 + 30))


def test_a_cell_that_went_on_after_a_kill_counts_as_a_whole_one(project):
    record(project, entry("score@rise-0", seconds=20, rise=(100, 20.0, 10, 2.0)),
           entry("score@rise-1", seconds=2, rise=(10, 2.0, 10, 2.0)))  # fmt: skip
    assert seconds(SETTINGS, project, "score@rise") == pytest.approx(3 * 20)


@pytest.mark.parametrize(
    ("kind", "changes", "growth"),
    [
        ("train abn", {"train": {"epochs": 3 * MINI.train.epochs}}, 3),
        ("F-CAM decoder", {"fcam": {"decoder": MINI.fcam.decoder.model_copy(update={"epochs": 5})}}, 0.5),
        ("insertion and deletion, rise", {"metrics": {"step": MINI.metrics.step * 2}}, 39 / 79),
        ("insertion and deletion, rise", {"metrics": {"images_per_class": 6}}, 2),
        ("lab protocol, rise, zero, full", {"metrics": {"images_per_class": None}}, 290 / 30),
        ("a metric of the user's", {"metrics": {"images_per_class": 6}}, 1),
    ],
)
def test_amounts_of_the_miniature(kind, changes, growth):
    images, other = count(MINI, None), mini(**changes).active
    done, wanted = amounts(MINI, images, "score@rise"), amounts(other, count(other, None), "score@rise")
    prefix = max((name for name in done if kind.startswith(name)), key=len)
    assert wanted[prefix] / done[prefix] == pytest.approx(growth)


def test_the_rehearsal_is_the_ledger_of_the_paper(project):
    rehearsed = entry("score@rise-0", "rehearsal", seconds=10, rise=(4, 4.0, 4, 4.0))
    settings = rehearsed.pop("settings")
    rehearsed.pop("profile")
    content = {"settings": settings, "cost": {rehearsed.pop("stage"): rehearsed}}
    write_json(project / "docs/rehearsal/provenance.json", content)
    made = plan(SETTINGS.with_profile("paper"), project)
    (line,) = made.lines
    paper, images = SETTINGS.profiles["paper"], made.images
    assert images == Images(200, 11_788, 5_000, 994, 5_794)
    rehearsal_masks = 3 * SETTINGS.profiles["rehearsal"].rise.n_masks  # one test image, two val images
    val = min(images.val, 200 * paper.metrics.val_images_per_class)
    masks = (200 * paper.metrics.images_per_class + val) * paper.rise.n_masks
    assert line.seconds == pytest.approx(3 * (6 + 4 * masks / rehearsal_masks))
    assert made.sources == ["docs/rehearsal/provenance.json, made on the machine that published it, on cpu, 2 threads"]
    assert "what engine.precision fp32 -> bf16 changes" in made.unknown


def test_a_run_on_this_machine_comes_before_a_published_one(project):
    there = {key: value for key, value in entry("train@0", seconds=99).items() if key not in ("stage", "settings")}
    content = {"settings": MINI.model_dump(mode="json"), "cost": {"train@0": there, "layers@0": there}}
    write_json(project / "reports/provenance.json", content)
    record(project, entry("train@0", seconds=1))
    found = {line.cell: line.seconds for line in plan(SETTINGS, project).lines}
    assert found == {"train": 3, "layers": 3 * 99}


def test_other_networks_do_not_serve(project):
    record(project, entry("train@0", settings=mini(data={"input_size": 96}).active))
    with pytest.raises(UserError, match="no finished run has the networks of the profile mini; run one: dvc exp run"):
        plan(SETTINGS, project)
    with pytest.raises(UserError, match="paper; run one: make rehearsal"):
        plan(SETTINGS.with_profile("paper"), project)


@pytest.mark.parametrize("text", ["", "[]", '{"cost": 1}', '{"cost": {"train@0": 3}}'])
def test_a_damaged_ledger_is_named(project, text):
    path = project / "reports/provenance.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UserError, match=r"provenance\.json is no ledger of a run; restore it"):
        plan(SETTINGS, project)


def test_images_are_counted_by_the_settings_or_the_lists(tmp_path):
    assert count(MINI, None) == Images(10, 590, 250, 50, 290)
    assert count(SETTINGS.profiles["rehearsal"], None)[2:] == (4, 2, 1)
    assert sum(CUB_SPLIT[11_788]) == 11_788
    images = SETTINGS.profiles["photos"]
    with pytest.raises(UserError, match="inputs/none holds no data set"):
        count(images, None)
    with pytest.raises(UserError, match=r"train_per_class \(22\) of 3 classes leaves none of 9 official"):
        count(images, write_cub(tmp_path / "cub"))
    fewer = images.model_copy(update={"data": images.data.model_copy(update={"train_per_class": 2})})
    assert count(fewer, tmp_path / "cub") == Images(3, 15, 6, 3, 6)


def test_a_table_for_people_and_numbers_for_programs(project):
    record(project, entry("train@0", seconds=3700), entry("data"))
    app = Typer()
    app.command()(stages.plan.main)
    command = ["--params", str(project / "params.yaml")]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert "profile mini, seeds 0, 1, 2: 10 classes, 250 train, 50 val, 290 test images" in shown.output
    assert "3:05:00" in shown.output
    assert (
        "* not known: the seconds of check, split, image_cache, encoder, train_abn, fcam, methods, score@"
        in shown.output
    )
    numbers = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)
    assert numbers["lines"][0] == {
        "cell": "train", "cells": 3, "seconds": 11100, "download_bytes": 0, "disk_bytes": 0,
        "memory_bytes": 500 * 2**20,
    }  # fmt: skip
    wrong = CliRunner().invoke(app, [*command, "--profile", "huge"])
    assert wrong.exit_code == 2
    assert "profile 'huge' does not exist; choose one of mini" in wrong.output
