"""Rows beyond the paper's: what `extensions` requests, and what they are trained by."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ala.config import load
from ala.config.schema import Schedule
from ala.training.loop import phases
from ala.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def settings(tmp_path: Path, profile: str = "mini", **top: object):
    params = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"profile": profile} | top
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return load(tmp_path / "params.yaml")


def test_none_is_requested_by_default() -> None:
    assert load(ROOT / "params.yaml").extensions == []


def test_lora_changes_the_encoders_block_alone(tmp_path: Path) -> None:
    found = settings(tmp_path, extensions=["lora"])
    variant, profile = found.trained_as("lora")
    assert variant == "aea-true-sbn-true"
    assert profile.ala.lora == found.active.extensions.lora is not None
    assert profile.ala.model_copy(update={"lora": None}) == found.active.ala
    assert profile.model_copy(update={"ala": found.active.ala}) == found.active


def test_all_features_change_the_fusion_map_alone(tmp_path: Path) -> None:
    found = settings(tmp_path, extensions=["all-taps"])
    variant, profile = found.trained_as("all-taps")
    assert variant == "aea-true-sbn-true"
    assert profile.ala.sbn.fusion_map == "all"
    back = profile.ala.sbn.model_copy(update={"fusion_map": found.active.ala.sbn.fusion_map})
    assert profile.ala.model_copy(update={"sbn": back}) == found.active.ala


@pytest.mark.parametrize(
    "schedule", [{}, {"first": "on"}, {"off_epochs": 2, "on_epochs": 3}, {"on_epochs": 2, "first": "on"}]
)
@pytest.mark.parametrize("epochs", [7, 40])
def test_half_epochs_train_row_ii_as_many_epochs_as_iii_has_on_epochs(schedule: dict, epochs: int) -> None:
    found = load(ROOT / "params.yaml")
    ala = found.active.ala.model_copy(
        update={"schedule": Schedule(**{"off_epochs": 1, "on_epochs": 1, "first": "off"} | schedule)}
    )
    train = found.active.train.model_copy(update={"epochs": epochs})
    active = found.active.model_copy(update={"ala": ala, "train": train})
    found = found.model_copy(update={"extensions": ["half-epochs"], "profiles": {"mini": active}})
    variant, profile = found.trained_as("half-epochs")
    assert variant == "aea-false-sbn-true"
    assert profile.train.epochs == sum(epoch.on for epoch in phases(epochs, ala.schedule, aea=True))
    assert profile.model_copy(update={"train": train}) == active


def test_half_epochs_are_half_of_the_miniatures() -> None:
    found = load(ROOT / "params.yaml")
    assert 2 * found.trained_as("half-epochs")[1].train.epochs == found.active.train.epochs


def test_other_models_are_trained_as_they_are_called() -> None:
    found = load(ROOT / "params.yaml")
    assert found.trained_as("abn") == ("abn", found.active)


def test_a_setting_that_does_not_exist_was_not_chosen(tmp_path: Path) -> None:
    profiles = yaml.safe_load((ROOT / "params.yaml").read_text())["profiles"]
    wrong = {"methods": ["fcam"], "settings": ["fcam.crf.wieght", "fcam.seeds"], "how": "by hand"}
    profiles["mini"]["chosen_on_masks"].append(wrong)
    with pytest.raises(UserError, match=r"profiles\.mini: .*names fcam\.crf\.wieght, no setting of this profile"):
        settings(tmp_path, profiles=profiles)


@pytest.mark.parametrize(
    ("profile", "asked", "message"),
    [
        ("mini", ["lora", "lora"], "names lora twice"),
        ("mini", ["dropout"], "extensions.0: 'dropout'"),
        ("photos", ["lora"], r"profiles\.photos\.extensions\.lora is null; set it to a block"),
    ],
)
def test_refused(tmp_path: Path, profile: str, asked: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings(tmp_path, profile, extensions=asked)
