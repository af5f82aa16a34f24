"""The stages `methods` and `score` on toy models: what they write, again byte for byte, and how they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import stages.methods
import stages.score
from ala.contracts import scores
from ala.contracts.maps import Maps
from ala.metrics.curves import Curves
from ala.metrics.lab import LEVELS, SUBSTRATES
from ala.pipeline import shards
from tests.stages import toys

MAIN = "aea-true-sbn-true"
USED = {"precision": "fp32", "device": "cpu", "gpu": None, "batch": 64}
BASELINES = "full+center+noise+box"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return toys.make(tmp_path, monkeypatch)


def score(project: Path, methods: str) -> None:
    result = toys.run(stages.score, project, "--methods", methods)
    assert result.exit_code == 0, result.output


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("methods", ["ala+iii", "fcam", "rise", BASELINES])
def test_maps_and_scores_are_the_same_again_with_and_without_shards(project: Path, methods: str) -> None:
    score(project, methods)
    first = {name: files(project / name) for name in ("maps", "scores")}
    score(project, methods)  # from shards
    assert {name: files(project / name) for name in ("maps", "scores")} == first
    for file in (project / "state").rglob("*.npz"):
        file.unlink()
    score(project, methods)  # from nothing
    assert {name: files(project / name) for name in ("maps", "scores")} == first

    names = {"ala+iii": [MAIN], BASELINES: BASELINES.split("+")}.get(methods, [methods])
    place = project / "maps" / methods / "seed-1"
    assert sorted(first["maps"]) == sorted(
        f"{methods}/seed-1/{name}/{file}" for name in names for file in ("val.npz", "test.npz", "used.json")
    )
    used = json.loads(first["maps"][f"{methods}/seed-1/{names[0]}/used.json"])["used"]
    assert used == (None if methods == BASELINES else {**USED, "threads": torch.get_num_threads()})
    assert Maps.load(place / names[0] / "test.npz").calibrated == (methods == "fcam")
    for name in names:
        folder = project / "scores" / methods / "seed-1" / name
        assert sorted(file.name for file in folder.iterdir()) == [
            "curves.npz", "scores.csv", "summary.json", "true_class.npz",
        ]  # fmt: skip
        rows = scores.load(folder / "scores.csv")
        table = scores.wide(rows)
        assert rows["method"].unique().tolist() == [name]
        assert len(table) == 6
        assert table["iou_mean_std"].notna().sum() == (4 if methods == "rise" else 6)
        assert Curves.load(folder / "curves.npz").insertion.shape == (4, 9)
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["n_maps"] == (4 if methods == "rise" else 6)
        assert summary["used"] == {**USED, "threads": torch.get_num_threads()}
    if methods == BASELINES:
        by = {name: scores.wide(scores.load(project / "scores" / methods / "seed-1" / name / "scores.csv"))
              for name in ("box", "full")}  # fmt: skip
        assert by["box"]["iou_mean_std"].mean() == 1  # in these images the box is the object
        assert by["full"]["iou_otsu"].mean() == pytest.approx(64 / 256)


def test_every_protocol_has_its_rows(project: Path) -> None:
    score(project, "abn")
    rows = scores.load(project / "scores/abn/seed-1/abn/scores.csv")
    lab = {f"lab-{s}-{q}-{c}" for s in SUBSTRATES for q in LEVELS for c in ("predicted", "true")}
    counts = rows[rows["image_id"] >= 0].groupby(["protocol", "metric"]).size()
    for protocol in (*lab, "official-predicted", "official-true", "common-predicted"):
        assert counts[protocol].to_dict() == {"deletion": 4, "id": 4, "insertion": 4}
    assert counts["localisation"].to_dict() == {"energy": 4, "pointing": 4}
    whole = rows[rows["image_id"] < 0].set_index("metric")["value"]
    assert {"maxboxacc", "maxboxaccv2", "pxap"} <= set(whole.index)
    by = rows.set_index(["protocol", "metric", "image_id"])["value"]
    np.testing.assert_allclose(by["lab-zero-q3-true"]["insertion"] - by["lab-zero-q3-true"]["deletion"],
                               by["lab-zero-q3-true"]["id"])  # fmt: skip
    # All toys are one model, so the common model says what ABN's own has said.
    np.testing.assert_allclose(by["common-predicted"]["id"], by["official-predicted"]["id"], atol=1e-6)
    assert set(rows.loc[rows["protocol"] == "common-predicted", "model"]) == {MAIN}
    assert set(rows.loc[rows["protocol"] == "official-predicted", "model"]) == {"abn"}


def test_the_main_models_maps_are_not_scored_twice(project: Path) -> None:
    score(project, "ala")
    rows = scores.load(project / f"scores/ala/seed-1/{MAIN}/scores.csv")
    assert "common-predicted" not in set(rows["protocol"])


def test_a_metric_more_is_the_only_work(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    (project / "params.yaml").write_text(yaml.safe_dump(params | {"metrics": ["prediction", "iou"]}))
    score(project, "abn")
    before = set((project / "state/shards").rglob("*.npz"))
    (project / "params.yaml").write_text(yaml.safe_dump(params | {"metrics": ["prediction", "iou", "localisation"]}))
    score(project, "abn")
    added = set((project / "state/shards").rglob("*.npz")) - before
    assert {file.parent.name for file in added} == {"localisation-abn-seed-1"}


def test_a_damaged_shard_is_made_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score(project, "abn")
    first = files(project / "scores")
    victim = next((project / "state/shards/iou-abn-seed-1").glob("*.npz"))
    victim.write_bytes(victim.read_bytes()[:-1])
    result = toys.run(stages.score, project, "--methods", "abn")
    assert f"note: {victim} is damaged" in result.output
    assert files(project / "scores") == first


def test_shards_of_any_size_give_the_same_maps_and_scores(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(project, "ala+rise")
    first = {name: files(project / name) for name in ("maps", "scores")}
    monkeypatch.setattr("ala.pipeline.explain.IMAGES", 4)
    monkeypatch.setattr("ala.pipeline.explain.SUBSET_IMAGES", 1)
    monkeypatch.setattr("ala.pipeline.score.IMAGES", {"subset": 1, "mapped": 2, "all": 3})
    score(project, "ala+rise")
    assert {name: files(project / name) for name in ("maps", "scores")} == first


def test_cells_depend_on_their_own_method_alone(project: Path) -> None:
    def described() -> dict[str, bytes]:
        result = toys.run(stages.methods, project, "--out", str(project / "cells"))
        assert result.exit_code == 0, result.output
        return files(project / "cells/seed-1")

    before = described()
    assert set(before) == {
        "ala+i+ii+iii+iv.json",
        "fcam.json",
        "rise.json",
        "abn.json",
        f"{BASELINES}.json",
        "main.json",
    }
    (project / "models/abn/seed-1/model.json").write_text("{}")
    after = described()
    assert {name for name in after if after[name] != before[name]} == {"abn.json"}
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("n_masks: 30", "n_masks: 31"))
    again = described()
    assert {name for name in again if again[name] != after[name]} == {"rise.json"}


def test_a_cheaper_relative_of_rise_is_a_word_and_its_settings(project: Path) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    settings = {"n_masks": 20, "grid": 4, "p1": 0.5, "seed": 0, "bound": 0.9, "block": 10}
    params["profiles"]["mini"]["explainers"] = {"adaptive-rise": settings}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    score(project, "adaptive-rise")
    assert Maps.load(project / "maps/adaptive-rise/seed-1/adaptive-rise/test.npz").importance.shape == (4, 16, 16)


def test_collapsed_maps_are_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toys.Toy, "explain", lambda self, images: torch.ones(len(images), 4, 4))
    result = toys.run(stages.score, project, "--methods", "abn")
    assert result.exit_code == 0, result.output
    assert "warning: abn, seed 1, val images: 4 constant of 4 maps have collapsed" in result.output


def test_failures_are_one_sentence_and_write_nothing(project: Path) -> None:
    result = toys.run(stages.score, project, "--methods", "smoothgrad")
    assert result.exit_code == 2
    assert "error: methods: 'smoothgrad' does not exist; choose one of ala, i, ii, iii, iv, abn," in result.output
    result = toys.run(stages.score, project, "--methods", "no.such_module:Thing")
    assert result.exit_code == 2
    assert "no.such_module cannot be imported" in result.output
    params = yaml.safe_load((project / "params.yaml").read_text())
    for settings, message in (
        ({"n_masks": 9, "limit": 1}, "methods: adaptive-rise takes no setting 'limit'; remove it from params.yaml"),
        ({"n_masks": 9}, 'methods: adaptive-rise needs the settings p1, bound, block; write "adaptive-rise": {p1: '),
    ):
        params["profiles"]["mini"]["explainers"] = {"adaptive-rise": settings}
        (project / "params.yaml").write_text(yaml.safe_dump(params))
        assert message in toys.run(stages.score, project, "--methods", "adaptive-rise").output
    (project / "params.yaml").write_text("profile: [")
    assert toys.run(stages.score, project, "--methods", "abn").exit_code == 2
    assert not (project / "maps").exists()
    assert not (project / "scores").exists()


@pytest.mark.parametrize("stage", ["score", "methods", "train", "edge", "layers"])
def test_help_teaches_without_heavy_imports(stage: str) -> None:
    code = f"import sys, stages.{stage}; print([m for m in ('torch', 'pandas', 'numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    shown = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", "--help"], capture_output=True, text=True, check=True
    )
    assert f"python -m stages.{stage} " in " ".join(shown.stdout.split())


def test_shards_are_named_by_what_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALA_STATE", str(tmp_path))
    one, same, other = (shards.shard("w", {"a": a}, dict, (), 1).path for a in (1, 1, 2))
    assert one == same != other
