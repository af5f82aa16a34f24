"""Rows beyond the paper's: what `extensions` asks for, and what they are trained by."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ala.config import load
from ala.runtime.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def settings(tmp_path: Path, profile: str = "mini", **top: object):
    params = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"profile": profile} | top
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return load(tmp_path / "params.yaml")


def test_none_is_asked_for_by_default() -> None:
    assert load(ROOT / "params.yaml").extensions == []


def test_lora_changes_the_encoders_block_alone(tmp_path: Path) -> None:
    found = settings(tmp_path, extensions=["lora"])
    variant, profile = found.trained_as("lora")
    assert variant == "aea-true-sbn-true"
    assert profile.ala.lora == found.active.extensions.lora is not None
    assert profile.ala.model_copy(update={"lora": None}) == found.active.ala
    assert profile.model_copy(update={"ala": found.active.ala}) == found.active


def test_all_taps_change_the_fusion_map_alone(tmp_path: Path) -> None:
    found = settings(tmp_path, extensions=["all-taps"])
    variant, profile = found.trained_as("all-taps")
    assert variant == "aea-true-sbn-true"
    assert profile.ala.sbn.fusion_map == "all"
    back = profile.ala.sbn.model_copy(update={"fusion_map": found.active.ala.sbn.fusion_map})
    assert profile.ala.model_copy(update={"sbn": back}) == found.active.ala


def test_other_models_are_trained_as_they_are_called() -> None:
    found = load(ROOT / "params.yaml")
    assert found.trained_as("abn") == ("abn", found.active)


@pytest.mark.parametrize(
    ("profile", "asked", "message"),
    [
        ("mini", ["lora", "lora"], "name one twice"),
        ("mini", ["dropout"], "extensions.0: 'dropout'"),
        ("photos", ["lora"], r"profiles\.photos\.extensions\.lora is null; set it to a block"),
    ],
)
def test_refused(tmp_path: Path, profile: str, asked: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings(tmp_path, profile, extensions=asked)
