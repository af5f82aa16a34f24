"""A layout of the user's own, in a package of theirs, named in params.yaml: nothing else is edited."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from ala.data.image_cache import ImageCache
from ala.registry import names
from tests.bad_inputs.world import World

ROOT = Path(__file__).parents[3]
MODULE = '''
import csv
from dataclasses import replace
from ala.data.index import Entry, Index

class Table:
    """birds.csv: file, name of the class, `x y w h` or nothing; masks are called FILE.png."""

    def read(self, root, settings):
        with (root / "birds.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        numbers = {"owl": 700, "jay": -3}
        entries = [
            Entry(
                1000 + key, row["file"], numbers[row["class"]], mask=row["file"] + ".png",
                boxes=(tuple(map(float, row["box"].split())),) if row["box"] else (),
            )
            for key, row in enumerate(rows)
        ]
        return Index(root, root, {key: name for name, key in numbers.items()}, entries, listing=root / "birds.csv")

class Unmasked(Table):
    def read(self, root, settings):
        index = super().read(root, settings)
        return replace(index, entries=[replace(one, mask=None) for one in index.entries])

class Broken:
    def read(self, root, settings):
        return 1 / 0

class Empty:
    def read(self, root, settings):
        return []

class Idle:
    pass
'''


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A folder with settings, a package and five images of each of two classes."""
    (tmp_path / "birdwatch").mkdir()
    (tmp_path / "birdwatch/__init__.py").write_text("")
    (tmp_path / "birdwatch/layout.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("birdwatch", "birdwatch.layout"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    rng, lines = np.random.default_rng(0), ["file,class,box"]
    (tmp_path / "birds").mkdir()
    for key in range(10):
        name = f"{key}.jpg"
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / "birds" / name)
        mask = np.zeros((40, 50), dtype=np.uint8)
        mask[10:30, 10:20] = 255
        Image.fromarray(mask).save(tmp_path / "birds" / f"{name}.png")
        lines.append(f"{name},{'owl' if key < 5 else 'jay'},{'10 10 10 20' if key % 2 else ''}")
    (tmp_path / "birds/birds.csv").write_text("\n".join(lines) + "\n")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    world = World(tmp_path, monkeypatch)
    changed(world, layout="birdwatch.layout:Table", test_per_class=2, train_per_class=2, input_size=32)
    return world


def changed(world: World, **data: Any) -> None:
    """Set the profile `images`, with values of its `data`."""
    settings = yaml.safe_load((world / "params.yaml").read_text())
    settings["profile"], images = "photos", settings["profiles"]["photos"]
    settings["inputs"]["data"] = str(world / "birds")
    images["data"] |= data
    images["fcam"]["input_size"] = 32
    images["metrics"] |= {"images_per_class": 1, "step": 64}
    (world / "params.yaml").write_text(yaml.safe_dump(settings))


def test_the_stages_read_it(world: World) -> None:
    for stage in ("data", "split", "image_cache"):
        result = world.run(stage)
        assert result.exit_code == 0, result.output
    facts = json.loads((world / "data/metrics.json").read_text())
    assert (facts["photos"], facts["classes"], facts["boxes_from_masks"]) == (10, 2, 5)
    ids = []
    for split, count in (("train", 4), ("val", 2), ("test", 4)):
        image_cache = ImageCache.open(world / "data/image_cache/32", split)
        assert (len(image_cache), image_cache.names) == (count, ["jay", "owl"])  # by class id: -3, 700
        assert all(
            (key < 1005) == (label == 1) for key, label in zip(image_cache.image_ids, image_cache.labels, strict=True)
        )
        assert np.allclose(image_cache.boxes, [6.4, 8, 6.4, 16])  # listed or of the mask, in pixels of 32 x 32
        assert image_cache.foreground(slice(None)).any(axis=(1, 2)).all()
        ids += image_cache.image_ids.tolist()
    assert sorted(ids) == list(range(1000, 1010))


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("birdwatch.layout:Broken", "data.layout birdwatch.layout:Broken fails on"),
        ("birdwatch.layout:Empty", "data.layout birdwatch.layout:Empty returns list, expected ala.data.index.Index"),
        ("birdwatch.layout:Idle", "data.layout: 'birdwatch.layout:Idle' names no class with a method `read`"),
        ("birdwatch.layout:Unmasked", "of validation or test has no mask to score maps by; add it (6 such files)"),
        ("birdwatch.nothing:Table", "data.layout: birdwatch.nothing cannot be imported"),
        (
            "cubb",
            "data.layout: 'cubb' does not exist; did you mean 'cub'? choose one of cub, folder, or write",
        ),
    ],
)
def test_what_is_wrong_with_it_is_one_sentence(world: World, layout: str, message: str) -> None:
    changed(world, layout=layout)
    result = world.run("data")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (world / "data").exists()


def test_the_files_of_the_package_are_its_layouts() -> None:
    assert names("layouts") == ["cub", "folder"]
