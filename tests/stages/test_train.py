"""The stage `train` on a small image cache and a small random encoder: what it writes, again byte for byte, and
refusals.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from typer import Typer
from typer.testing import CliRunner

import stages.train
from ala.config import load
from ala.contracts.preprocessing import Preprocessing
from ala.encoders import save_encoder
from ala.encoders.networks import make_encoder
from ala.model.blueprint import VARIANTS
from ala.model.checkpoint import load_model

IMAGE_SIZE, COUNTS = 16, {"train": 24, "val": 9}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Settings, an image cache of images with a coloured square (the class is its colour), and an encoder."""
    torch.set_num_threads(1)
    params: dict[str, Any] = load("params.yaml").model_dump()
    mini = params["profiles"]["mini"]
    mini["data"]["input_size"] = IMAGE_SIZE
    mini["metrics"]["step"] = 32
    mini["train"] |= {"epochs": 4, "batch": 8}
    mini["ala"]["sbn"] |= {"width": 8, "heads": 2, "depth": 2, "patch": 4, "fusion_map": [[0, 0], [2, 1]]}
    for block in (mini["ala"], mini["abn"]):
        block["perception"] |= {"feature_layer": 2, "channels": [8], "hidden": [8]}
    mini["ala"]["single_layer"] = mini["abn"]["layer"] = 2
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    folder = tmp_path / "image_cache" / str(IMAGE_SIZE)
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for split, n in COUNTS.items():
        labels = np.arange(n) % 3
        images = random.integers(0, 100, (n, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
        images[np.arange(n), 4:12, 4:12, labels] = 250
        parts = {
            "images": images, "masks": np.pad(np.full((n, 8, 8), 255, np.uint8), ((0, 0), (4, 4), (4, 4))),
            "ids": np.arange(n) + 10, "labels": labels, "boxes": np.tile(np.array([4, 4, 8, 8], np.float32), (n, 1)),
        }  # fmt: skip
        for part, values in parts.items():
            np.save(folder / f"{split}-{part}.npy", values)
    about = {"version": 1, "size": IMAGE_SIZE, "names": ["red", "green", "blue"], "splits": COUNTS}
    (folder / "image_cache.json").write_text(json.dumps(about))
    torch.manual_seed(0)
    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 16, "patch_size": 4, "width": 16, "layers": 2, "head_width": 8},
    }
    save_encoder(
        make_encoder({"name": "open_clip:small", "config": config}, Preprocessing.named(IMAGE_SIZE, "half"), 0),
        tmp_path / "models/encoder",
    )
    return tmp_path


def run(project: Path, variant: str, **other: str) -> Any:
    app = Typer()
    app.command()(stages.train.main)
    paths = {"params": "params.yaml", "images": "image_cache", "encoder": "models/encoder", "out": "models"} | other
    where = [word for name, path in paths.items() for word in (f"--{name}", str(project / path))]
    return CliRunner().invoke(app, ["--variant", variant, "--seed", "1", "--device", "cpu", *where])


@pytest.mark.parametrize("variant", VARIANTS)
def test_writes_a_model_that_loads_and_the_same_again(project: Path, variant: str) -> None:
    folder = project / "models" / variant / "seed-1"
    first: dict[str, bytes] = {}
    for _ in range(2):
        result = run(project, variant)
        assert result.exit_code == 0, result.output
        files = {file.name: file.read_bytes() for file in folder.iterdir()}
        assert sorted(files) == ["curve.csv", "model.json", "weights.safetensors"]
        assert files == (first or files)
        first = files
    about = json.loads(first["model.json"])
    assert about["variant"] == variant
    assert about["seed"] == 1
    assert about["phase"] == "on"
    assert about["used"] == {
        "precision": "fp32", "device": "cpu", "gpu": None, "threads": torch.get_num_threads(), "batch": 8,
    }  # fmt: skip
    assert about["classes"] == ["red", "green", "blue"]
    assert set(about["settings"]) == {"abn" if variant == "abn" else "ala", "train"}
    assert str(project) not in first["model.json"].decode()
    curve = pd.read_csv(folder / "curve.csv")
    assert list(curve["phase"]) == (["off", "on"] * 2 if variant.startswith("aea-true") else ["on"] * 4)
    row = curve.loc[about["epoch"]]
    assert {name: row[name] for name in about["validation"]} == pytest.approx(about["validation"])
    assert 0 <= row["val_miou"] <= 1
    model = load_model(folder, project / "models/encoder")
    assert model(torch.zeros(2, 3, IMAGE_SIZE, IMAGE_SIZE)).shape == (2, 3)


@pytest.mark.parametrize(
    ("variant", "other", "message"),
    [
        ("full", {}, "variant 'full' does not exist; choose one of"),
        ("abn", {"images": "nowhere"}, "does not exist"),
        ("abn", {"encoder": "nowhere"}, "nowhere"),
        ("abn", {"params": "nowhere.yaml"}, "nowhere.yaml does not exist"),
    ],
)
def test_refusals_are_one_sentence_and_leave_nothing(
    project: Path, variant: str, other: dict[str, str], message: str
) -> None:
    result = run(project, variant, **other)
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert [path.name for path in (project / "models").iterdir()] == ["encoder"]


def test_a_failed_run_leaves_the_earlier_model_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(project, "abn").exit_code == 0
    folder = project / "models/abn/seed-1"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
    assert run(project, "abn").exit_code == 1
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["seed-1"]


def test_help_teaches_and_is_fast() -> None:
    code = "import sys, stages.train; assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    shown = subprocess.run(
        [sys.executable, "-m", "stages.train", "--help"], check=True, capture_output=True, text=True
    ).stdout
    for word in ("Reads", "Writes", "Example", "--variant", "--seed"):
        assert word in shown
