"""A small project with toys in place of trained models, for tests of what the pipeline does with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer import Typer
from typer.testing import CliRunner

from ala.config import load
from ala.contracts.preprocessing import Preprocessing
from ala.pipeline.models import Loaded

SIZE = 16
MODELS = ["aea-true-sbn-true", "aea-true-sbn-false", "aea-false-sbn-true", "aea-false-sbn-false", "abn", "fcam"]


class Toy:
    """Looks at how bright the middle is, and points there; differentiable."""

    preprocessing = Preprocessing.named(SIZE, "half")

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        share = images[:, 0, 4:12, 4:12].mean(dim=(1, 2)).sigmoid()  # (B,)
        return torch.stack([share, 1 - share], 1)  # (B, 2)

    def explain(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images[:, 0], 4).sigmoid()  # (B, 4, 4)


def make(folder: Path, monkeypatch: pytest.MonkeyPatch, **top: Any) -> Path:
    """A folder with settings (`top` replaces top-level ones), images and model files; each model is a :class:`Toy`."""
    torch.set_num_threads(1)
    params: dict[str, Any] = load("params.yaml").model_dump() | top
    mini = params["profiles"]["mini"]
    mini["data"]["input_size"] = SIZE
    mini["rise"]["n_masks"] = 30
    mini["metrics"] |= {"images_per_class": 2, "val_images_per_class": 1, "step": 32}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    image_cache = folder / "image_cache" / str(SIZE)
    image_cache.mkdir(parents=True)
    random, counts = np.random.default_rng(0), {"val": 4, "test": 6}
    for split, n in counts.items():
        parts = {
            "images": random.integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8),
            "masks": np.pad(np.full((n, 8, 8), 255, np.uint8), ((0, 0), (4, 4), (4, 4))),
            "ids": np.arange(n) + 10 * len(split), "labels": np.arange(n) % 2,
            "boxes": np.tile(np.array([4, 4, 8, 8], np.float32), (n, 1)),
        }  # fmt: skip
        for part, values in parts.items():
            np.save(image_cache / f"{split}-{part}.npy", values)
    about = {"version": 1, "size": SIZE, "names": ["a", "b"], "splits": counts}
    (image_cache / "image_cache.json").write_text(json.dumps(about))
    for model in MODELS:
        place = folder / "models" / model / "seed-1"
        place.mkdir(parents=True)
        (place / "model.json").write_text(json.dumps({"variant": model}))
    monkeypatch.setenv("ALA_STATE", str(folder / "state"))
    monkeypatch.setattr("ala.pipeline.context.load", lambda *_: Loaded(Toy(), Toy()))
    return folder


def run(stage: Any, project: Path, *words: str) -> Any:
    """Run a stage's command on the project, seed 1."""
    app = Typer()
    app.command()(stage.main)
    places = {"params": "params.yaml", "images": "image_cache", "models": "models", "maps": "maps", "scores": "scores"}
    known = set(stage.main.__annotations__)
    where = [word for name, path in places.items() if name in known for word in (f"--{name}", str(project / path))]
    device = ["--device", "cpu"] if "device" in known else []
    return CliRunner().invoke(app, [*words, "--seed", "1", *device, *where])
