"""What the stages hand on: splits, image caches, maps and scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import numpy as np
import pandas as pd

from tests.bad_inputs.case import Case
from tests.bad_inputs.world import World

IMAGE_CACHE, SPLITS, SCORES = "data/image_cache/32", "data/splits", "scores/abn/seed-0/abn"


def _cut(name: str, share: float = 0.5) -> Callable[[World], None]:
    def damage(world: World) -> None:
        content = (world / name).read_bytes()
        (world / name).write_bytes(content[: int(len(content) * share)])

    return damage


def _gone(name: str) -> Callable[[World], None]:
    return lambda world: (world / name).unlink()


def _text(name: str, text: str) -> Callable[[World], None]:
    return lambda world: (world / name).write_text(text) and None


def _columns(world: World) -> None:
    text = (world / f"{SCORES}/scores.csv").read_text()
    (world / f"{SCORES}/scores.csv").write_text(text.replace("metric", "measure", 1))


def _infinite(world: World) -> None:
    rows = pd.read_csv(world / f"{SCORES}/scores.csv")
    rows["value"] = float("inf")
    rows.to_csv(world / f"{SCORES}/scores.csv", index=False)


def _version(world: World) -> None:
    about = json.loads((world / f"{IMAGE_CACHE}/image_cache.json").read_text())
    (world / f"{IMAGE_CACHE}/image_cache.json").write_text(json.dumps(about | {"version": 99}))


AGAIN = "run its score stage again"
CASES = [
    Case("a split is missing", "image_cache", _gone(f"{SPLITS}/val.csv"), f"{SPLITS}/val.csv", "does not exist",
         "run `dvc repro split` first"),
    Case("a split is cut off", "image_cache", _cut(f"{SPLITS}/val.csv", 0.1), f"{SPLITS}/val.csv", "0 rows",
         "run `dvc repro split`"),
    Case("a split is no table of numbers", "image_cache", _text(f"{SPLITS}/val.csv", "image_id,label\none,two\n"),
         f"{SPLITS}/val.csv", "is no split", "run `dvc repro split`"),
    Case("no image cache", "encoder", lambda w: shutil.rmtree(w / IMAGE_CACHE), f"{IMAGE_CACHE}/image_cache.json",
         "does not exist", "run `dvc repro image_cache` first"),
    Case("an image cache's images are cut off", "encoder", _cut(f"{IMAGE_CACHE}/test-images.npy"),
         f"{IMAGE_CACHE}/test-images.npy", "is unreadable", "run `dvc repro image_cache`"),
    Case("an image cache's images of another number", "encoder",
         lambda w: np.save(w / f"{IMAGE_CACHE}/test-ids.npy", np.arange(3)), f"{IMAGE_CACHE}/test-ids.npy",
         "shape (3,)", "run `dvc repro image_cache`"),
    Case("an image cache of another version", "encoder", _version, f"{IMAGE_CACHE}/image_cache.json", "version 99",
         "run `dvc repro image_cache`"),
    Case("an image cache's description is no JSON", "encoder", _text(f"{IMAGE_CACHE}/image_cache.json", "{"),
         f"{IMAGE_CACHE}/image_cache.json", "is no image cache", "run `dvc repro image_cache`"),
    Case("scores with other columns", "report", _columns, f"{SCORES}/scores.csv", "measure", AGAIN),
    Case("infinity in the scores", "report", _infinite, f"{SCORES}/scores.csv", "a value that is not finite", AGAIN),
    Case("curves cut off", "report", _cut(f"{SCORES}/curves.npz"), f"{SCORES}/curves.npz", "holds no curves", AGAIN),
    Case("a summary that is no JSON", "report", _text(f"{SCORES}/summary.json", "{"), f"{SCORES}/summary.json",
         "is no JSON", "run the stage that writes it again"),
    Case("no scores at all", "report", lambda w: shutil.rmtree(w / "scores"), "scores holds no scores", "params.yaml",
         "run `dvc repro` first"),
]  # fmt: skip
