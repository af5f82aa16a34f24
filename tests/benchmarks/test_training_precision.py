"""Training in two precisions: the summary lines, and a run on a small image cache."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from typer import Typer
from typer.testing import CliRunner

from ala.config import load
from ala.contracts.preprocessing import Preprocessing
from ala.encoders import save_encoder
from ala.encoders.networks import make_encoder
from benchmarks.training_precision import METRICS, main, with_means

IMAGE_SIZE, COUNTS = 16, {"train": 24, "val": 9, "test": 9}


def rows(seeds: list[int]) -> pd.DataFrame:
    made = []
    for seed in seeds:
        for precision, more in (("fp32", 0.0), ("bf16", 0.01 * (seed + 1))):
            made.append({"seed": seed, "precision": precision, "epoch": 3, **dict.fromkeys(METRICS, 0.5 + seed + more),
                         "seconds": 10.0})  # fmt: skip
    return pd.DataFrame(made)


def test_differences_are_paired_by_seed():
    table = with_means(rows([0, 1]))
    assert table["seed"].tolist() == ["0", "0", "1", "1", "mean", "mean", "mean"]
    last = table.iloc[-1]
    assert last["precision"] == "bf16 - fp32"
    assert last["id"] == f"0.015 ± {math.sqrt(2 * 0.005**2):.2g}"  # of .01 and .02, whatever the seeds' own spread
    assert last["seconds"] == "0 ± 0"
    assert table.iloc[4]["miou_mean_std"] == "1 ± 0.71"


def test_one_seed_has_no_spread():
    assert with_means(rows([1])).iloc[-1]["deletion"] == "0.02"


def write_project(folder: Path) -> None:
    """Settings, an image cache of images with a coloured square (the class is its colour), an encoder, and a page."""
    params = load("params.yaml").model_dump()
    mini = params["profiles"]["mini"]
    mini["data"]["input_size"] = IMAGE_SIZE
    mini["metrics"] |= {"step": 32, "images_per_class": 2}
    mini["train"] |= {"epochs": 2, "batch": 8}
    mini["ala"]["sbn"] |= {"width": 8, "heads": 2, "depth": 2, "patch": 4, "fusion_map": [[0, 0], [2, 1]]}
    mini["ala"]["perception"] |= {"feature_layer": 2, "channels": [8], "hidden": [8]}
    mini["ala"]["single_layer"] = 2
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    image_cache = folder / "image_cache" / str(IMAGE_SIZE)
    image_cache.mkdir(parents=True)
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
            np.save(image_cache / f"{split}-{part}.npy", values)
    about = {"version": 1, "size": IMAGE_SIZE, "names": ["red", "green", "blue"], "splits": COUNTS}
    (image_cache / "image_cache.json").write_text(json.dumps(about))
    torch.manual_seed(0)
    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 16, "patch_size": 4, "width": 16, "layers": 2, "head_width": 8},
    }
    save_encoder(
        make_encoder({"name": "open_clip:small", "config": config}, Preprocessing.named(IMAGE_SIZE, "half"), 0),
        folder / "models/encoder",
    )
    (folder / "page.md").write_text("<!-- generated: training precision -->\n<!-- end generated -->\n")


def test_both_precisions_are_trained_and_scored(tmp_path):
    torch.set_num_threads(1)
    write_project(tmp_path)
    app = Typer()
    app.command()(main)
    names = {
        "params": "params.yaml",
        "image-cache": "image_cache",
        "models": "models",
        "out": "results",
        "page": "page.md",
    }
    where = [word for option, name in names.items() for word in (f"--{option}", str(tmp_path / name))]
    result = CliRunner().invoke(app, ["--seed", "1", "--device", "cpu", *where], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "results").iterdir()
    table = pd.read_csv(path)
    assert path.name.endswith("-training-precision.csv")
    assert table["seed"].tolist() == [1, 1]
    assert table["precision"].tolist() == ["fp32", "bf16"]
    assert table[METRICS].notna().all(axis=None)
    assert table["insertion"].nunique() == 2  # two trainings, not one scored twice
    np.testing.assert_allclose(table["insertion"] - table["deletion"], table["id"], atol=1e-5)
    assert "| mean   | bf16 - fp32 |" in (tmp_path / "page.md").read_text()
    assert [one.name for one in (tmp_path / "models").iterdir()] == ["encoder"]
