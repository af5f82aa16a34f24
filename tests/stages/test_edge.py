"""The stage `edge` on a toy model: what it writes, that only validation chooses, again byte for byte, refusals."""

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

import stages.edge
from ala.config import load
from ala.config.schema import Engine
from ala.contracts import scores as contract
from ala.contracts.maps import Maps
from ala.contracts.preprocessing import Preprocessing
from ala.contracts.seal import seal
from ala.data.store import Store
from ala.explainers.methods import Explained
from ala.metrics import fix_tables
from ala.metrics.score import Probe, Truth, score

SIDE, MAIN = 32, "aea-true-sbn-true"
ENGINE = Engine(precision="fp32", compile=False)


class Toy:
    """Looks at how bright the middle is."""

    preprocessing = Preprocessing.named(SIDE, "half")

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        share = images[:, 0, 8:24, 8:24].mean(dim=(1, 2)).sigmoid()
        return torch.stack([share, 1 - share], 1)


def draw_store(folder: Path) -> None:
    """Bright squares on a darker ground, whose contours are closed."""
    folder.mkdir(parents=True)
    random, counts = np.random.default_rng(0), {"val": 6, "test": 10}
    for split, n in counts.items():
        images = random.integers(60, 70, (n, SIDE, SIDE, 3), dtype=np.uint8)
        masks = np.zeros((n, SIDE, SIDE), np.uint8)
        for row, (y, x) in enumerate(random.integers(3, 15, (n, 2))):
            images[row, y : y + 12, x : x + 12] += 130
            masks[row, y : y + 12, x : x + 12] = 255
        parts = {
            "images": images, "masks": masks, "ids": np.arange(n) + 10 * len(split), "labels": np.arange(n) % 2,
            "boxes": np.zeros((n, 4), np.float32),
        }  # fmt: skip
        for part, values in parts.items():
            np.save(folder / f"{split}-{part}.npy", values)
    about = {"version": 1, "size": SIDE, "names": ["a", "b"], "splits": counts}
    (folder / "store.json").write_text(json.dumps(about))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings, a store, over-attending maps and their scores, and a toy in place of the main model."""
    torch.set_num_threads(1)
    params: dict[str, Any] = load("params.yaml").model_dump()
    mini = params["profiles"]["mini"]
    mini["data"]["input_size"] = SIDE
    mini["metrics"] |= {"images_per_class": 2, "step": 128}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    metrics = load(tmp_path / "params.yaml").active.metrics
    draw_store(tmp_path / "store" / str(SIDE))
    stores = {split: Store.open(tmp_path / "store" / str(SIDE), split) for split in ("val", "test")}
    maps = {split: over_attending(store) for split, store in stores.items()}
    for split, one in maps.items():
        one.save(tmp_path / "maps" / MAIN / "seed-1" / f"{split}.npz")
    probe = Probe.of(Toy(), stores["test"], 8, torch.device("cpu"), ENGINE)
    scored = score(maps["val"], maps["test"], Truth(stores["val"], stores["test"], 127), probe, metrics, 1)
    contract.save(scored.rows, tmp_path / "scores" / MAIN / "seed-1" / "scores.csv")
    seal(tmp_path / "scores" / MAIN / "seed-1")
    monkeypatch.setattr("ala.explainers.methods.load_explained", lambda *_: Explained(MAIN, Toy(), Toy(), False))
    return tmp_path


def over_attending(store: Store) -> Maps:
    """The object and a rim of two pixels around it."""
    values = np.random.default_rng(2).uniform(0, 0.1, (len(store), SIDE, SIDE)).astype(np.float32)
    for row, mask in enumerate(store.foreground(slice(None))):
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        values[row, ys[0] - 2 : ys[-1] + 3, xs[0] - 2 : xs[-1] + 3] += 0.8
    return Maps(store.image_ids, values, MAIN, MAIN, np.full(len(store), -1))


def run(project: Path) -> Any:
    app = Typer()
    app.command()(stages.edge.main)
    options = {"params": "params.yaml", "store": "store", "models": "models", "maps": "maps", "scores": "scores"}
    where = [word for name, path in options.items() for word in (f"--{name}", str(project / path))]
    return CliRunner().invoke(app, ["--seed", "1", "--device", "cpu", *where])


def test_fixes_are_chosen_on_val_scored_on_test_and_again_the_same(project: Path) -> None:
    out = project / "scores" / "edge" / "seed-1"
    first: dict[str, bytes] = {}
    for _ in range(2):
        result = run(project)
        assert result.exit_code == 0, result.output
        written = {file.name: file.read_bytes() for file in out.iterdir()}
        assert not first or written == first  # byte for byte
        first = written
    assert sorted(first) == ["SHA256SUMS", "edge.csv", "errors.csv", "summary.json"]
    summary = json.loads(first["summary.json"])
    assert (summary["used"]["precision"], summary["used"]["device"]) == ("fp32", "cpu")
    by_kappa = {each["kappa"]: each["miou"] for each in summary["val_miou"]["kappa"]}
    assert by_kappa[summary["kappa"]] == max(by_kappa.values())
    assert by_kappa[summary["kappa"]] > summary["val_miou"]["original"]  # made so that the edge fix helps
    assert len(summary["val_miou"]["guided"]) == 9
    rows, errors = fix_tables.load(out / "edge.csv", 1), fix_tables.load(out / "errors.csv", 1)
    assert rows is not None
    assert errors is not None
    assert rows["fix"].unique().tolist() == list(fix_tables.FIXES)
    assert (rows.groupby("fix")["insertion"].count() == 4).all()
    means = rows.groupby("fix")["iou"].mean()
    assert means["ala+edge"] > means["original"] + 0.1
    assert summary["test"]["ala+edge"]["iou"] == pytest.approx(means["ala+edge"])
    assert len(errors) == 3 * 10


def test_test_masks_choose_nothing(project: Path) -> None:
    """Other masks of the test photos move the scores, never kappa, radius or eps."""
    assert run(project).exit_code == 0
    path = project / "scores" / "edge" / "seed-1" / "summary.json"
    before = json.loads(path.read_text())
    masks = project / "store" / str(SIDE) / "test-masks.npy"
    np.save(masks, np.load(masks)[:, ::-1])
    scores = project / "scores" / MAIN / "seed-1" / "scores.csv"
    assert "give another IoU" in run(project).output  # scores made with the old masks
    stores = {split: Store.open(project / "store" / str(SIDE), split) for split in ("val", "test")}
    maps = {split: Maps.load(project / "maps" / MAIN / "seed-1" / f"{split}.npz") for split in stores}
    metrics = load(project / "params.yaml").active.metrics
    probe = Probe.of(Toy(), stores["test"], 8, torch.device("cpu"), ENGINE)
    again = score(maps["val"], maps["test"], Truth(stores["val"], stores["test"], 127), probe, metrics, 1)
    contract.save(again.rows, scores)
    seal(scores.parent)
    assert run(project).exit_code == 0
    after = json.loads(path.read_text())
    assert after["test"] != before["test"]
    for name in ("kappa", "radius", "eps", "tau_val", "val_miou"):
        assert after[name] == before[name]


def test_what_is_missing_is_one_sentence(project: Path) -> None:
    (project / "scores" / MAIN / "seed-1" / "scores.csv").unlink()
    result = run(project)
    assert result.exit_code == 2
    assert "scores.csv is gone; run `dvc repro evaluate@1`" in result.output
    assert not (project / "scores" / "edge").exists()


def test_help_teaches_without_heavy_imports() -> None:
    code = "import sys, stages.edge; print([m for m in ('torch', 'pandas', 'numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    shown = subprocess.run([sys.executable, "-m", "stages.edge", "--help"], capture_output=True, text=True, check=True)
    assert "python -m stages.edge --seed 0" in " ".join(shown.stdout.split())
