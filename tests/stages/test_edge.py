"""The stage `edge` on a toy model: what it writes, that only validation chooses, again byte for byte, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import stages.edge
from ala.contracts.preprocessing import Preprocessing
from ala.metrics import fix_tables
from ala.pipeline.models import Loaded
from tests.stages import toys

IMAGE_SIZE = 32


class OverAttending:
    """Looks at how bright the middle is; its map is the bright object and a rim of two pixels around it."""

    preprocessing = Preprocessing.named(IMAGE_SIZE, "half")

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        share = images[:, 0, 8:24, 8:24].mean(dim=(1, 2)).sigmoid()
        return torch.stack([share, 1 - share], 1)

    def explain(self, images: torch.Tensor) -> torch.Tensor:
        rim = torch.nn.functional.max_pool2d((images[:, 0] > 0).float(), 5, stride=1, padding=2)
        return 0.8 * rim + 0.1 * images[:, 1].sigmoid()


def draw_image_cache(folder: Path) -> None:
    """Bright squares on a darker background, whose contours are closed."""
    shutil.rmtree(folder.parent)
    folder.mkdir(parents=True)
    random, counts = np.random.default_rng(0), {"val": 6, "test": 10}
    for split, n in counts.items():
        images = random.integers(60, 70, (n, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
        masks = np.zeros((n, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
        for row, (y, x) in enumerate(random.integers(3, 15, (n, 2))):
            images[row, y : y + 12, x : x + 12] += 130
            masks[row, y : y + 12, x : x + 12] = 255
        parts = {
            "images": images, "masks": masks, "ids": np.arange(n) + 10 * len(split), "labels": np.arange(n) % 2,
            "boxes": np.zeros((n, 4), np.float32),
        }  # fmt: skip
        for part, values in parts.items():
            np.save(folder / f"{split}-{part}.npy", values)
    about = {"version": 1, "size": IMAGE_SIZE, "names": ["a", "b"], "splits": counts}
    (folder / "image_cache.json").write_text(json.dumps(about))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings and images, and a toy in place of the main model."""
    toys.make(tmp_path, monkeypatch)
    text = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace(f"input_size: {toys.SIZE}", f"input_size: {IMAGE_SIZE}"))
    draw_image_cache(tmp_path / "image_cache" / str(IMAGE_SIZE))
    monkeypatch.setattr("ala.pipeline.context.load", lambda *_: Loaded(OverAttending(), OverAttending()))
    return tmp_path


def test_fixes_are_chosen_on_val_scored_on_test_and_again_the_same(project: Path) -> None:
    out = project / "scores" / "edge" / "seed-1"
    first: dict[str, bytes] = {}
    for _ in range(2):
        result = toys.run(stages.edge, project)
        assert result.exit_code == 0, result.output
        written = {file.name: file.read_bytes() for file in out.iterdir()}
        assert not first or written == first  # byte for byte
        first = written
    assert sorted(first) == ["edge.csv", "errors.csv", "summary.json"]
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
    """Other masks of the test images move the scores, never kappa, radius or eps."""
    assert toys.run(stages.edge, project).exit_code == 0
    path = project / "scores" / "edge" / "seed-1" / "summary.json"
    before = json.loads(path.read_text())
    masks = project / "image_cache" / str(IMAGE_SIZE) / "test-masks.npy"
    np.save(masks, np.load(masks)[:, ::-1])
    assert toys.run(stages.edge, project).exit_code == 0
    after = json.loads(path.read_text())
    assert after["test"] != before["test"]
    for name in ("kappa", "radius", "eps", "tau_val", "val_miou"):
        assert after[name] == before[name]


def test_what_is_missing_is_one_sentence(project: Path) -> None:
    shutil.rmtree(project / "models" / "aea-true-sbn-true")
    result = toys.run(stages.edge, project)
    assert result.exit_code == 2
    assert "aea-true-sbn-true/seed-1 holds no model; run `dvc repro`" in result.output
    assert not (project / "scores" / "edge").exists()
