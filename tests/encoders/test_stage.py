"""The command `encoder` as a user calls it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file
from typer import Typer
from typer.testing import CliRunner

from ala.config import load
from ala.data.birdlets import species
from ala.encoders import load_encoder
from ala.encoders.packaged import PACKAGED, trained_by
from stages import encoder

PROJECT = Path(__file__).resolve().parents[2]


def write_image_cache(folder: Path, size: int, names: list[str], n: int) -> None:
    """An image cache of `n` grey images in the test split."""
    folder.mkdir(parents=True)
    arrays = {
        "images": np.full((n, size, size, 3), 127, np.uint8), "masks": np.zeros((n, size, size), np.uint8),
        "ids": np.arange(1, n + 1), "labels": np.arange(n) % len(names), "boxes": np.zeros((n, 4), np.float32),
    }  # fmt: skip
    for part, values in arrays.items():
        np.save(folder / f"test-{part}.npy", values)
    about = {"version": 1, "size": size, "names": names, "splits": {"test": n}}
    (folder / "image_cache.json").write_text(json.dumps(about))


def run(*arguments: str):
    app = Typer()
    app.command()(encoder.main)
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def change(tmp_path, monkeypatch):
    """Write the project's settings, changed, into an empty folder and go there."""
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)

    def write(profile: str, file: str = "", **values) -> None:
        settings["profile"] = profile
        settings["profiles"][profile]["encoder"].update(values)
        settings["inputs"]["encoder"] = str(tmp_path / file) if file else "inputs/none"
        Path("params.yaml").write_text(yaml.safe_dump(settings))

    return write


@pytest.mark.slow
def test_the_miniature_pretrains_and_keeps_one_text_per_species(change):
    change(
        "mini",
        weights="train",
        pretrain={"pairs": 8, "epochs": 1, "batch": 4, "lr": 1e-3, "weight_decay": 0.0, "seed": 0},
    )
    species_image_cache()
    result = run()
    assert result.exit_code == 0, result.output
    metrics = json.loads(Path("models/encoder/metrics.json").read_text())
    assert metrics["n_images"] == 6
    assert (metrics["used"]["batch"], metrics["used_in_training"]["batch"]) == (128, 4)
    assert metrics["zero_shot_accuracy"] in (0, 1 / 6)  # six equal images, one of each label
    about = json.loads(Path("models/encoder/encoder.json").read_text())
    assert about["source"]["texts"] == [[one.caption()] for one in species(load().active.data.birdlets)]
    loaded = load_encoder(Path("models/encoder"))
    assert loaded.text_features.shape[0] == 10
    first = Path("models/encoder/encoder.safetensors").read_bytes()
    shutil.rmtree("state")  # the finished pre-training
    assert run().exit_code == 0
    assert Path("models/encoder/encoder.safetensors").read_bytes() == first


def species_image_cache() -> None:
    names = [one.caption() for one in species(load().active.data.birdlets)]
    write_image_cache(Path("data/image_cache/80"), 80, [f"{k:03d}.Bird" for k in range(len(names))], 6)


def test_the_miniature_takes_the_packaged_weights_of_the_settings(change):
    change("mini")
    species_image_cache()
    result = run()
    assert result.exit_code == 0, result.output
    out, shipped = Path("models/encoder"), PACKAGED / "birdlet-clip"
    for name in ("encoder.safetensors", "text_features.safetensors", "encoder.json"):
        assert (out / name).read_bytes() == (shipped / name).read_bytes()
    assert json.loads((out / "metrics.json").read_text())["used_in_training"]["batch"] == 64
    profile = load().active
    assert load_encoder(out).source["trained_by"] == trained_by(profile.encoder, profile.data)
    assert sum(file.stat().st_size for file in shipped.iterdir()) < 2e6


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"norm": "half"}, "were trained with encoder.norm clip, not half; set encoder.weights to train"),
        (
            {"pretrain": {"pairs": 8, "epochs": 1, "batch": 4, "lr": 1e-3, "weight_decay": 0.0, "seed": 0}},
            "were trained with encoder.pretrain.pairs 5000, not 8; set encoder.weights to train",
        ),
        ({"name": "open_clip:ViT-B-16"}, "no weights of ViT-B-16 are packaged; set it to train"),
    ],
)
def test_packaged_weights_of_other_settings_are_refused(change, values, sentence):
    change("mini", **values)
    species_image_cache()
    result = run()
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_a_convolutional_encoder_has_no_zero_shot_accuracy(change, tmp_path):
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "cnn.safetensors")
    change("photos", "cnn.safetensors", name="timm:test_resnet", options=[])
    write_image_cache(Path("data/image_cache/224"), 224, ["001.A", "002.B"], 2)
    result = run()
    assert result.exit_code == 0, result.output
    used = {"precision": "fp32", "device": "cpu", "gpu": None, "threads": torch.get_num_threads(), "batch": 128}
    assert json.loads(Path("models/encoder/metrics.json").read_text()) == {
        "zero_shot_accuracy": None, "n_images": 0, "used": used,
    }  # fmt: skip
    assert load_encoder(Path("models/encoder")).grid == 14


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("none.safetensors", "none.safetensors does not exist"),
        ("broken.safetensors", "broken.safetensors is no readable safetensors file"),
        ("", "inputs.encoder is inputs/none"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(change, file, message):
    change("photos", file)
    Path("broken.safetensors").write_bytes(b"half a file")
    write_image_cache(Path("data/image_cache/224"), 224, ["001.A", "002.B"], 2)
    result = run()
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not Path("models/encoder").exists()


def test_help_is_quick_and_teaches():
    code = "import sys; sys.argv = ['encoder', '--help']; import runpy\n"
    code += "try: runpy.run_module('stages.encoder', run_name='__main__')\n"
    code += "finally: print('torch' in sys.modules, 'open_clip' in sys.modules, 'timm' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, env={**os.environ, "COLUMNS": "120"}
    )
    assert "python -m stages.encoder" in done.stdout
    assert "metrics.json" in done.stdout
    assert done.stdout.strip().endswith("False False False")
