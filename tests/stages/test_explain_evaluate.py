"""The stages `explain` and `evaluate` on a toy model: what they write, again byte for byte, and how they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer import Typer
from typer.testing import CliRunner

import stages.evaluate
import stages.explain
from ala.config import load
from ala.contracts import scores
from ala.contracts.maps import Maps
from ala.contracts.preprocessing import Preprocessing
from ala.explainers.methods import Explained
from ala.metrics.curves import Curves

SIDE = 16


class Toy:
    """Looks at how bright the middle is, and points there."""

    preprocessing = Preprocessing.named(SIDE, "half")

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        share = images[:, 0, 4:12, 4:12].mean(dim=(1, 2)).sigmoid()
        return torch.stack([share, 1 - share], 1)

    def explain(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images[:, 0], 4).sigmoid()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with settings and a store, and a toy in place of every trained model."""
    torch.set_num_threads(1)
    params: dict[str, Any] = load("params.yaml").model_dump()
    mini = params["profiles"]["mini"]
    mini["data"]["input_size"] = SIDE
    mini["rise"]["n_masks"] = 30
    mini["metrics"] |= {"images_per_class": 2, "val_images_per_class": 1, "step": 32}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    folder = tmp_path / "store" / str(SIDE)
    folder.mkdir(parents=True)
    random, counts = np.random.default_rng(0), {"val": 4, "test": 6}
    for split, n in counts.items():
        parts = {
            "images": random.integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8),
            "masks": np.pad(np.full((n, 8, 8), 255, np.uint8), ((0, 0), (4, 4), (4, 4))),
            "ids": np.arange(n) + 10 * len(split), "labels": np.arange(n) % 2,
            "boxes": np.tile(np.array([4, 4, 8, 8], np.float32), (n, 1)),
        }  # fmt: skip
        for part, values in parts.items():
            np.save(folder / f"{split}-{part}.npy", values)
    about = {"version": 1, "size": SIDE, "names": ["a", "b"], "splits": counts}
    (folder / "store.json").write_text(json.dumps(about))

    def load_explained(method: str, *_: Any) -> Explained:
        toy = Toy()
        return Explained("main" if method == "rise" else method, toy, toy.explain, method == "fcam")

    monkeypatch.setattr("ala.explainers.methods.load_explained", load_explained)
    return tmp_path


def run(stage: Any, project: Path, method: str, *more: str) -> Any:
    app = Typer()
    app.command()(stage.main)
    options = {"params": "params.yaml", "store": "store", "models": "models", "maps": "maps"}
    if stage is stages.evaluate:
        options["scores"] = "scores"
    where = [word for name, path in options.items() for word in (f"--{name}", str(project / path))]
    return CliRunner().invoke(app, ["--method", method, "--seed", "1", "--device", "cpu", *where, *more])


@pytest.mark.parametrize("method", ["aea-true-sbn-true", "fcam", "rise", "trivial"])
def test_maps_become_scores_and_again_the_same(project: Path, method: str) -> None:
    first: dict[Path, bytes] = {}
    for _ in range(2):
        for stage in (stages.explain, stages.evaluate):
            result = run(stage, project, method)
            assert result.exit_code == 0, result.output
        files = [*(project / "maps").rglob("*"), *(project / "scores").rglob("*")]
        written = {file: file.read_bytes() for file in files if file.is_file()}
        assert not first or written == first  # byte for byte
        first = written

    names = ["full", "center", "noise", "box"] if method == "trivial" else [method]
    maps, out = project / "maps" / method / "seed-1", project / "scores" / method / "seed-1"
    prefixes = [f"{name}-" for name in names] if method == "trivial" else [""]
    assert sorted(file.name for file in maps.iterdir()) == sorted(
        [f"{prefix}{split}.npz" for prefix in prefixes for split in ("val", "test")] + ["used.json"]
    )
    profile, threads = load(project / "params.yaml").active, torch.get_num_threads()
    ran = {"precision": "fp32", "device": "cpu", "gpu": None, "threads": threads, "batch": profile.metrics.batch}
    wrote = None if method == "trivial" else ran | ({"batch": profile.rise.batch} if method == "rise" else {})
    assert json.loads((maps / "used.json").read_text()) == {"used": wrote}
    assert Maps.load(maps / f"{prefixes[0]}test.npz").calibrated == (method == "fcam")
    assert sorted(file.name for file in out.iterdir()) == [
        "SHA256SUMS",
        "curves.npz",
        "scores.csv",
        "summary.json",
        "true_class.npz",
    ]
    rows, curves = scores.load(out / "scores.csv"), Curves.load(out / "curves.npz")
    assert rows["method"].unique().tolist() == names
    assert len(rows) == 6 * len(names)
    assert rows["iou_mean_std"].notna().sum() == (4 if method == "rise" else 6 * len(names))
    assert curves.insertion.shape == (4 * len(names), 9)
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary) == sorted(names)
    assert all(one["seed"] == 1 and 0 <= one["accuracy"] <= 1 for one in summary.values())
    assert all(one["used"] == ran for one in summary.values())
    if method == "trivial":
        assert summary["box"]["miou_mean_std"] == 1  # in this store the box is the object
        assert summary["full"]["miou_otsu"] == pytest.approx(64 / 256)


def test_collapsed_maps_are_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Toy, "explain", lambda self, images: torch.ones(len(images), 4, 4))
    result = run(stages.explain, project, "abn")
    assert result.exit_code == 0, result.output
    assert "warning: abn, seed 1, val photos: 4 constant of 4 maps have collapsed" in result.output
    assert "warning: abn, seed 1, test photos: 6 constant of 6 maps have collapsed" in result.output


def test_failures_are_one_sentence_and_write_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for stage, method, message in (
        (stages.explain, "gradcam", "method 'gradcam' does not exist"),
        (stages.evaluate, "gradcam", "method 'gradcam' does not exist"),
        (stages.evaluate, "abn", "val.npz does not exist; run the explain stage"),
    ):
        result = run(stage, project, method)
        assert result.exit_code == 2
        assert message in result.output
        assert "Traceback" not in result.output
    (project / "params.yaml").write_text("profile: [")
    assert run(stages.explain, project, "abn").exit_code == 2
    assert not (project / "maps").exists()
    assert not (project / "scores").exists()


@pytest.mark.parametrize("stage", ["explain", "evaluate"])
def test_help_teaches_without_heavy_imports(stage: str) -> None:
    code = f"import sys, stages.{stage}; print([m for m in ('torch', 'pandas', 'numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    shown = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", "--help"], capture_output=True, text=True, check=True
    )
    assert f"python -m stages.{stage} --method rise --seed 0" in " ".join(shown.stdout.split())


def test_evaluate_does_not_wait_for_plotting_libraries() -> None:
    """About fifty such processes run in one `dvc repro`."""
    code = (
        "import sys, ala.metrics.score, ala.explainers.methods, ala.metrics.curves;"
        " print([m for m in ('skimage', 'scipy', 'seaborn', 'matplotlib', 'timm', 'open_clip') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
