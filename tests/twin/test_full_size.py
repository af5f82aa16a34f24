"""The data of the paper profile at full size: 11,788 drawn images, from the download to the split."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ala.data.layouts.cub import read_cub
from tests.twin.conftest import GENUINE, Bench, Drawn

pytestmark = pytest.mark.slow


def test_drawn_in_three_minutes_on_two_cores(full: Drawn) -> None:
    """Measured as processor time, which other work on the machine does not change much."""
    assert full.images == 11_788
    assert full.seconds < 2 * 180


@pytest.mark.skipif(not GENUINE.is_dir(), reason="the genuine lists of CUB-200-2011 are not beside the checkout")
@pytest.mark.parametrize("name", ["images", "classes", "image_class_labels", "train_test_split"])
def test_lists_are_the_genuine_ones(full: Drawn, name: str) -> None:
    drawn, genuine = ((folder / f"{name}.txt").read_text().split() for folder in (full.tree / "CUB_200_2011", GENUINE))
    assert drawn == genuine


def test_is_like_cub(full: Drawn) -> None:
    base = full.tree / "CUB_200_2011"
    images = sorted((base / "images").rglob("*.jpg"))
    strays = [image for image in images if image.stem.endswith("_rgb")]
    assert (len(images), len(strays)) == (11_796, 8)
    for stray in strays:
        assert Image.open(stray).mode == "RGB"
        assert Image.open(stray.with_name(stray.name.replace("_rgb", ""))).mode == "L"
    assert len(list((full.tree / "segmentations").rglob("*.png"))) == 11_788
    index = read_cub(full.tree)
    for one in index.entries[::500]:
        ((x, y, width, height),) = one.boxes
        with Image.open(index.image_file(one)) as image, Image.open(index.masks / one.mask) as mask:
            assert image.size == mask.size
            assert x + width <= image.width
            assert y + height <= image.height
            assert len(np.unique(np.asarray(mask))) > 2


def test_no_image_comes_twice(full: Drawn) -> None:
    index = read_cub(full.tree)
    assert len({index.image_file(one).read_bytes() for one in index.entries}) == 11_788


def test_from_the_download_to_the_split(full: Drawn, bench: Callable[[Drawn], Bench]) -> None:
    """By the paper profile's own settings: a mirror is gone, a connection breaks at 60 %, a server has no Range."""
    here = bench(full)
    here.settings(birds=("missing", "drops"), masks=("norange",))
    for stage in ("data", "split"):
        result = here.run(stage)
        assert result.returncode == 0, result.stderr
    asked = [wanted for path, wanted in here.server.asked if path == "/drops/CUB_200_2011.tgz"]
    assert len(asked) == 2
    assert asked[0] is None
    assert int(str(asked[1]).removeprefix("bytes=").removesuffix("-")) > 0.59 * here.archives[0].stat().st_size

    splits = {name: pd.read_csv(here.folder / f"data/splits/{name}.csv") for name in ("train", "val", "test")}
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 5_000, "val": 994, "test": 5_794}
    assert splits["train"]["label"].value_counts().tolist() == [25] * 200
    assert all(rows["label"].nunique() == 200 for rows in splits.values())
    assert pd.concat(splits.values())["image_id"].is_unique

    metrics = json.loads((here.folder / "data/metrics.json").read_text())
    assert (metrics["photos"], metrics["classes"], metrics["greyscale_images"]) == (11_788, 200, 8)
    assert set(metrics["mask_levels"]) == {"0", "51", "102", "153", "204", "255"}
    dataset = here.folder / "data" / "dataset"
    files = list((dataset / "images").rglob("*.jpg"))
    assert len(files) == 11_788
    assert not any(file.stem.endswith("_rgb") for file in files)  # no list names the strays
    pixels = sum(np.prod(Image.open(file).size) for file in files)
    assert sum(metrics["mask_levels"].values()) == pixels
    assert sorted(file.name for file in (here.folder / "downloads").iterdir()) == [f.name for f in here.archives]
