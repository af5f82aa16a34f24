"""The commands `data`, `split` and `image_cache` as a user calls them: one after the other, and on bad input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from typer import Typer
from typer.testing import CliRunner, Result

from ala.config import load
from ala.data.image_cache import ImageCache
from ala.data.split import read_splits
from stages import data, image_cache, split

PROJECT = Path(__file__).resolve().parents[2]


def write_images(root: Path) -> Path:
    """Two classes of five images, three of them for training, in CUB-200-2011 layout."""
    rng = np.random.default_rng(0)
    lists: dict[str, list[str]] = {
        name: [] for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes")
    }
    for key in range(1, 11):
        label, shot = divmod(key - 1, 5)
        path = f"00{label + 1}.Bird/photo_{key}.jpg"
        for folder, suffix, values in (
            ("images", ".jpg", rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)),
            ("segmentations", ".png", np.pad(np.full((10, 20), 204, dtype=np.uint8), 10)),
        ):
            file = (root / folder / path).with_suffix(suffix)
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(file)
        for name, value in zip(lists, (path, label + 1, int(shot < 3), "10 10 20 10"), strict=True):
            lists[name].append(f"{key} {value}")
    lists["classes"] = ["1 001.Bird", "2 002.Bird"]
    for name, lines in lists.items():
        (root / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scratch folder with images and the project's settings, turned to them."""
    write_images(tmp_path / "photos")
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    change("photos", train_per_class=2)
    return tmp_path


def change(profile: str, **settings: Any) -> None:
    """Choose a profile and set values of its `data`, as `dvc exp run -S` would; evaluate what its classes have."""
    params = load("params.yaml").model_dump()
    params["profile"] = profile
    params["inputs"]["data"] = str(Path("photos").absolute())
    params["profiles"][profile]["data"] |= settings
    params["profiles"][profile]["metrics"] |= {"images_per_class": 1, "val_images_per_class": 1}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def set_input(name: str, value: str) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["inputs"][name] = value
    Path("params.yaml").write_text(yaml.safe_dump(params))


def run(stage: Any, *arguments: str) -> Result:
    app = Typer()
    app.command()(stage.main)
    return CliRunner().invoke(app, list(arguments))


def test_one_after_the_other(here: Path) -> None:
    for stage in (data, split, image_cache):
        result = run(stage)
        assert result.exit_code == 0, result.output
    metrics = json.loads(Path("data/metrics.json").read_text())
    assert metrics["boxes_from_masks"] == 0
    assert metrics["mask_levels"] == {"0": 10 * 1000, "204": 10 * 200}
    assert metrics["box_area_share"] == {"mean": round(200 / 1200, 6), "median": round(200 / 1200, 6)}
    summary = json.loads(Path("data/splits/summary.json").read_text())
    assert {name: entry["photos"] for name, entry in summary.items()} == {"train": 4, "val": 2, "test": 4}
    assert len(read_splits(Path("data/splits"))["train"]) == 4
    opened = ImageCache.open(Path("data/image_cache/224"), "test")
    assert opened.images.shape == (4, 224, 224, 3)
    assert opened.boxes[0].tolist() == pytest.approx([56, 74.6667, 112, 74.6667], abs=1e-3)
    assert sorted(file.name for file in Path("data").iterdir()) == ["dataset", "image_cache", "metrics.json", "splits"]


def test_draws_the_miniature(here: Path) -> None:
    birdlets = {"species": 2, "train_per_species": 3, "test_per_species": 1, "clutter": 0.4, "seed": 0}
    change("mini", birdlets=birdlets, train_per_class=2)
    for stage in (data, split, image_cache):
        result = run(stage)
        assert result.exit_code == 0, result.output
    metrics = json.loads(Path("data/metrics.json").read_text())
    assert (metrics["photos"], metrics["classes"]) == (8, 2)
    size = load("params.yaml").active.data.input_size
    assert len(ImageCache.open(Path(f"data/image_cache/{size}"), "val")) == 2


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no root": (shutil.rmtree, "inputs.data"),
    "half-copied": (lambda root: shutil.rmtree(root / "images/002.Bird"), "photo_6.jpg is missing"),
    "no mask": (lambda root: (root / "segmentations/001.Bird/photo_2.png").unlink(), "photo_2.png is missing"),
    "other size": (
        lambda root: Image.new("L", (3, 3), 255).save(root / "segmentations/001.Bird/photo_2.png"),
        "photo_2.png has 3 x 3 pixels",
    ),
    "truncated": (
        lambda root: (root / "images/001.Bird/photo_2.jpg").write_bytes(
            (root / "images/001.Bird/photo_2.jpg").read_bytes()[:400]
        ),
        "photo_2.jpg does not decode",
    ),
    "empty class": (lambda root: (root / "classes.txt").write_text("1 a\n2 b\n3 c\n"), "class 3 (c)"),
    "damaged list": (lambda root: (root / "train_test_split.txt").write_text("1\n"), "train_test_split.txt line 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_one_sentence_and_no_output(here: Path, case: str) -> None:
    damage, message = BAD[case]
    damage(here / "photos")
    result = run(data)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("data").exists() or list(Path("data").iterdir()) == []


def test_offline_download(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    archives = [
        {"name": name, "urls": ["http://127.0.0.1:9/"], "bytes": 1000, "sha256": "0" * 64}
        for name in ("a.tgz", "b.tgz")
    ]
    change("photos", source="download", downloads=archives)
    set_input("data", "inputs/none")
    result = run(data)
    assert result.exit_code == 2
    for part in ("a.tgz (1,000 bytes, sha256 0000", "b.tgz (1,000 bytes, sha256 0000", "into downloads/"):
        assert part in result.stderr
    assert not Path("data").exists()


def test_split_needs_images_to_validate_on(here: Path) -> None:
    assert run(data).exit_code == 0
    change("photos", train_per_class=3)
    result = run(split)
    assert result.exit_code == 2
    assert "has 3 training images, data.train_per_class (3) must be smaller" in result.stderr
    assert not Path("data/splits").exists()


def test_stages_out_of_order(here: Path) -> None:
    result = run(split)
    assert result.exit_code == 2
    assert "data/dataset/index.csv does not exist; run `dvc repro data` first" in result.stderr
    assert run(data).exit_code == 0
    result = run(image_cache)
    assert result.exit_code == 2
    assert "run `dvc repro split` first" in result.stderr
    assert not Path("data/image_cache").exists()


def test_split_of_another_data_set(here: Path) -> None:
    """The image cache is requested images that the data set does not have."""
    assert run(data).exit_code == run(split).exit_code == 0
    (here / "data/dataset/images/002.Bird/photo_10.jpg").unlink()
    result = run(image_cache)
    assert result.exit_code == 2
    assert "photo_10.jpg does not decode" in result.stderr
    assert not Path("data/image_cache").exists()


@pytest.mark.parametrize("name", ["data", "split", "image_cache"])
def test_as_a_module(here: Path, name: str) -> None:
    """`--help` teaches and is quick: no torch behind it; a profile that does not exist is one sentence."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"stages.{name}", "--help"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Example: python -m stages." in shown.stdout
    assert "Writes" in shown.stdout
    assert not any(line.split("|")[-1].strip() == "torch" for line in shown.stderr.splitlines())
    text = Path("params.yaml").read_text().replace("profile: photos", "profile: nonsense")
    Path("params.yaml").write_text(text)
    failed = subprocess.run(
        [sys.executable, "-m", f"stages.{name}"], env=environment, capture_output=True, text=True, check=False
    )
    assert failed.returncode == 2
    assert "profile 'nonsense' does not exist" in failed.stderr
    assert "Traceback" not in failed.stderr
