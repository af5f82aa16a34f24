"""Bytes, by hand where a hand can tell them."""

from __future__ import annotations

import pytest

from ala.config import load
from ala.plan.flops import META, Cost
from ala.plan.models import Models
from ala.plan.photos import Photos
from ala.plan.sizes import batch, disk, downloads, memory
from ala.plan.work import Work
from tests.imports import ROOT

SETTINGS = load(ROOT / "params.yaml")
PROFILES, NONE = SETTINGS.profiles, SETTINGS.inputs
PHOTOS = Photos(classes=200, train=5000, val=994, test=5794)


@pytest.fixture(scope="module")
def paper() -> Models:
    return Models(PROFILES["paper"], 200, META)


def test_what_the_paper_downloads(paper):
    found = downloads(PROFILES["paper"], paper, NONE)
    assert found["data"] == 1_150_585_339 + 39_272_883
    assert found["encoder"] == pytest.approx(598e6, rel=0.01)  # CLIP ViT-B/16 with its text tower, 149.6 M numbers
    assert found["fcam"] == pytest.approx(94e6, rel=0.01)  # ResNet-50 without its last layer


def test_nothing_is_downloaded_where_it_is_there_already(paper):
    for name in ("data", "encoder", "fcam"):
        found = downloads(PROFILES["paper"], paper, NONE.model_copy(update={name: "/there"}))
        assert {stage for stage, size in found.items() if size} == {"data", "encoder", "fcam"} - {name}
    assert set(downloads(PROFILES["mini"], Models(PROFILES["mini"], 10, META), NONE).values()) == {0}


def test_stores_hold_four_bytes_a_pixel_of_every_split_and_side(paper):
    found = disk(PROFILES["paper"], PHOTOS, paper, "side", NONE)
    both = 994 + 5794
    assert found["store"] == 4 * (384**2 * both + 510**2 * 5000 + 224**2 * both + 256**2 * 5000)
    assert found["rise"] == 4 * 384**2 * 1200
    assert found["explain"] > 4 * 384**2 * both  # the boxes alone


def test_batches_are_the_stages():
    paper = PROFILES["paper"]
    assert [batch(verb, paper) for verb in ("train on", "validate", "rise", "perturb", "train decoder")] == [
        8, 64, 64, 64, 32
    ]  # fmt: skip


def test_memory_grows_with_the_batch_and_with_what_is_kept():
    mini = PROFILES["mini"]
    models = Models(mini, 10, META)
    few, many = Photos(10, 250, 50, 290), Photos(10, 2500, 50, 290)
    work = [Work("train", "train on", 1, "side"), Work("rise", "rise", 1, "side"), Work("data", "draw", 5)]
    costs = {("train on", "side"): Cost(2, 1.0, 2000), ("rise", "side"): Cost(2, 1.0, 2000)}
    small, large = (memory(mini, photos, models, work, costs) for photos in (few, many))
    assert small["data"] == 0
    assert small["rise"] == large["rise"]
    taps = 4 * 96 * 10 * 10 + 3 * 80 * 80  # numbers of one photo
    assert large["train"] - small["train"] == 4 * taps * 2 * (2500 - 250)
