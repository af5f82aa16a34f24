"""The profile `rehearsal` through DVC in a scratch clone: all stages at the paper's sizes, all tables, marked pages."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ala.config import load
from ala.contracts.maps import Maps
from ala.explainers.fcam import load_fcam
from tests.imports import dvc_stages
from tests.pipeline.conftest import ROOT, clone

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]

MARK = "rehearsal: random weights"


@dataclass(frozen=True)
class Rehearsal:
    folder: Path
    stages: set[str]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    scratch = clone(tmp_path_factory.mktemp("rehearsal"))
    began = time.perf_counter()
    done = scratch.run(
        "dvc", "exp", "run", "-S", "profile=rehearsal", "-S", "seeds=[0]"
    )  # fails unless it exits with 0
    print(f"rehearsed in {time.perf_counter() - began:.0f} s")
    return Rehearsal(scratch.folder, scratch.stages_run(done))


def test_every_stage_ran(rehearsal):
    stages = dvc_stages()
    for name in ("extend", "foreign"):  # cells that only the setting of that name adds
        stages.pop(name)
    stages.pop("score")
    expected = {f"{name}@0" if stage["seeded"] else name for name, stage in stages.items()}
    assert rehearsal.stages == expected | {f"score@{methods}-0" for methods in load().methods}


def test_the_tables_are_those_of_the_miniature(rehearsal):
    """The same names, and in each the same columns."""
    ours, theirs = rehearsal.folder / "reports/tables", ROOT / "reports/tables"
    assert {path.name for path in ours.iterdir()} == {path.name for path in theirs.iterdir()}
    for path in sorted(theirs.glob("*.csv")):
        assert list(pd.read_csv(ours / path.name, nrows=0)) == list(pd.read_csv(path, nrows=0)), path.name


def test_no_method_is_missing_and_every_mean_is_a_number(rehearsal):
    main = pd.read_csv(rehearsal.folder / "reports/tables/main.csv").set_index("method")
    assert 0 <= float(main.loc["zero_shot", "accuracy_mean"]) <= 1  # it has no map, and no other number
    means = main.drop(index="zero_shot")[
        ["accuracy_mean", "miou_mean", "insertion_mean", "deletion_mean", "id_mean"]
    ].astype(float)
    assert len(means) == 8
    assert means.notna().all().all()
    assert (main["n_images"].astype(int) == 1).all()
    report = (rehearsal.folder / "reports/report.md").read_text()
    assert "Nothing is missing: every method was run with every seed." in report


def test_every_page_is_marked(rehearsal):
    pages = [*(rehearsal.folder / "reports").rglob("*.md"), rehearsal.folder / "reports/index.html"]
    assert len(pages) > 10
    for page in pages:
        assert page.read_text().count(MARK) >= 2, page


def test_the_encoder_is_the_papers(rehearsal):
    folder = rehearsal.folder / "models/encoder"
    about = json.loads((folder / "encoder.json").read_text())
    assert about["source"]["name"] == "open_clip:ViT-B-16-quickgelu"
    assert about["source"]["weights"] == "random weights"
    assert (about["input_size"], about["grid"]) == (384, 24)
    assert about["feature_channels"] == {str(feature): 768 for feature in range(13)}
    assert load_file(folder / "text_features.safetensors")["text_features"].shape == (200, 512)


def test_models_and_maps_have_the_papers_sizes(rehearsal):
    about = json.loads((rehearsal.folder / "models/aea-true-sbn-true/seed-0/model.json").read_text())
    assert len(about["classes"]) == 200
    assert about["phase"] == "on"
    curve = pd.read_csv(rehearsal.folder / "models/aea-true-sbn-true/seed-0/curve.csv")
    assert curve["phase"].tolist() == ["off", "on"]
    maps = Maps.load(rehearsal.folder / f"maps/{load().methods[0]}/seed-0/aea-true-sbn-true/test.npz")
    assert maps.importance.shape == (1, 24, 24)


def test_fcam_is_resnet50_at_output_stride_8(rehearsal):
    folder = rehearsal.folder / "models/fcam/seed-0"
    assert json.loads((folder / "model.json").read_text())["settings"]["backbone"] == "resnet50"
    fcam = load_fcam(folder, torch.device("cpu"))
    with torch.no_grad():
        last = fcam.network.pyramid(torch.zeros(1, 3, 224, 224)).last
    assert last.shape == (1, 2048, 28, 28)
    assert fcam.classifier(torch.zeros(1, 3, 224, 224)).shape == (1, 200)
