"""The profile `rehearsal` is the profile `paper` but for how much is done, with what images and weights."""

from __future__ import annotations

from typing import Any

import pytest

from ala.config import load
from ala.encoders.clip_source import build_config
from tests.imports import ROOT

#: What may differ. Whatever else differed would leave a shape or a path of `paper` unrehearsed.
ALLOWED = {
    "data.source", "data.birdlets", "data.downloads", "data.expected", "data.train_per_class", "data.at_most",
    "encoder.name", "encoder.weights",
    "train.epochs", "train.batch",
    "rise.n_masks", "rise.batch", "explainers.adaptive-rise.n_masks", "explainers.adaptive-rise.block",
    "fcam.pretrained", "fcam.classifier.epochs", "fcam.classifier.batch", "fcam.decoder.epochs", "fcam.decoder.batch",
    "layers.abn",
    "metrics.images_per_class", "metrics.val_images_per_class", "metrics.step", "metrics.lab_points", "metrics.batch",
    "engine.precision",  # a rehearsal runs on CPUs, too, many of which only emulate bfloat16
}  # fmt: skip
WHOLE = {"data.birdlets", "data.at_most", "data.expected", "ala.sbn.fusion_map"}  # compared as one value


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    found: dict[str, Any] = {}
    for key, part in value.items():
        name = f"{prefix}{key}"
        found |= flat(part, f"{name}.") if isinstance(part, dict) and name not in WHOLE else {name: part}
    return found


@pytest.fixture(scope="module")
def profiles() -> dict[str, Any]:
    return {name: profile.model_dump() for name, profile in load(ROOT / "params.yaml").profiles.items()}


def test_nothing_but_amounts_images_and_weights_differs(profiles):
    paper, rehearsal = flat(profiles["paper"]), flat(profiles["rehearsal"])
    assert paper.keys() == rehearsal.keys()
    assert {name for name in paper if paper[name] != rehearsal[name]} == ALLOWED


def test_sizes_are_the_papers(profiles):
    data = profiles["rehearsal"]["data"]
    assert data["birdlets"]["species"] == profiles["paper"]["data"]["expected"]["classes"] == 200
    assert data["input_size"] == 384


def test_the_encoder_is_the_one_that_openais_weights_need(profiles):
    ours, theirs = (build_config(load().profiles[name].encoder) for name in ("rehearsal", "paper"))
    assert ours == theirs
    assert profiles["paper"]["encoder"]["name"].endswith("/openai")


def test_layers_are_some_of_the_papers_and_abns_own(profiles):
    layers = profiles["rehearsal"]["layers"]["abn"]
    assert set(layers) < set(profiles["paper"]["layers"]["abn"])
    assert profiles["paper"]["abn"]["layer"] in layers  # the one that is taken from models/abn
    assert len(layers) > 1  # and one that is trained


def test_one_epoch_is_off_and_one_on(profiles):
    assert profiles["rehearsal"]["train"]["epochs"] == 2
    assert profiles["rehearsal"]["ala"]["schedule"] == {"off_epochs": 1, "on_epochs": 1, "first": "off"}
