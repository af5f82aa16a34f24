"""No default decides a number, and no mapping has free keys, to which `dvc exp run -S` would silently only add."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from pydantic.fields import FieldInfo

from ala.config import load
from ala.config.schema import Inputs, Profile, Section, Settings
from tests.imports import ROOT

#: What may be left out of params.yaml, and why that decides nothing.
MAY_BE_LEFT_OUT = {
    "Data.birdlets": "another source than birdlets does not read it, and source birdlets refuses null",
    "Data.downloads": "another source than download does not read it, and source download refuses null",
    "Data.test_per_class": "a layout without test images refuses null, one with test images refuses a number",
    "Data.expected": "a check; no number comes from it",
    "EncoderSettings.pretrain": "encoder.weights packaged and train refuse null, the others anything else",
}

#: Free keys: one profile is read, by its name, and of explainers those that `methods` names; so a key that is only
#: added decides nothing.
MAY_BE_MAPPINGS = {"Settings.profiles", "Settings.foreign", "Profile.explainers"}


def sections(section: type[Section]) -> Iterator[type[Section]]:
    """The section and all below it."""
    yield section
    for field in section.model_fields.values():
        for kind in parts(field.annotation):
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from sections(kind)


def parts(annotation: object) -> Iterator[object]:
    """An annotation and whatever it is made of: `list[X] | None` is itself, `list[X]`, X, list and None."""
    yield annotation
    for one in (typing.get_origin(annotation), *typing.get_args(annotation)):
        if one is not None:
            yield from parts(one)


ALL = {one.__name__: one for one in sections(Settings)}
FIELDS: dict[str, FieldInfo] = {
    f"{section.__name__}.{name}": field for section in ALL.values() for name, field in section.model_fields.items()
}


def test_the_walk_reaches_every_section():
    assert {"Settings", "Inputs", "Profile", "FcamClassifierStage", "Guided", "Lora", "Archive"} <= ALL.keys()
    assert len(FIELDS) > 150


def test_what_decides_a_number_stands_in_params_yaml():
    assert {name for name, field in FIELDS.items() if not field.is_required()} == MAY_BE_LEFT_OUT.keys()
    assert {FIELDS[name].default for name in MAY_BE_LEFT_OUT} == {None}


def test_no_mapping_has_free_keys():
    assert {name for name, field in FIELDS.items() if dict in set(parts(field.annotation))} == MAY_BE_MAPPINGS


def overridden(tmp_path: Path, *overrides: str) -> Settings:
    """params.yaml after `dvc exp run -S`, by DVC's own code."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    apply_overrides(tmp_path / "params.yaml", list(overrides))
    return load(tmp_path / "params.yaml")


def test_an_override_replaces_the_whole_value(tmp_path):
    mini = overridden(
        tmp_path, "profiles.mini.ala.sbn.fusion_map=[[1,0]]", "ablations=[iii]", "seeds=[3]",
        "profiles.photos.encoder.options=[[drop_rate,0.1]]",
    )  # fmt: skip
    assert mini.active.ala.sbn.fusion_map == [(1, 0)]
    assert mini.ablations == ["iii"]
    assert mini.seeds == [3]
    assert mini.profiles["photos"].encoder.options == [("drop_rate", 0.1)]
    assert overridden(tmp_path, "profiles.mini.ala.sbn.fusion_map=all").active.ala.sbn.fusion_map == "all"


def test_dvc_refuses_to_merge_a_mapping_into_a_list(tmp_path):
    before = load(ROOT / "params.yaml")
    with pytest.raises(Exception, match="Invalid `--set-param` value") as caught:
        overridden(tmp_path, "profiles.mini.ala.sbn.fusion_map={1: 0}")
    assert "Error merging override profiles.mini.ala.sbn.fusion_map" in str(caught.value.__cause__)
    assert load(tmp_path / "params.yaml") == before


def test_inputs_are_what_dvc_depends_on():
    """Each is a dependency of the stage of its own, and every profile reads files by no other setting."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name in Inputs.model_fields:
        assert f"${{inputs.{name}}}" in stages[name]["deps"]
    names = {name.rpartition(".")[2] for name in FIELDS if not name.startswith("Inputs.")}
    assert names & {"root", "path", "file", "folder", "archives", "checkpoint"} == set()
    assert (ROOT / load(ROOT / "params.yaml").inputs.data).is_file()
    assert Profile.model_fields.keys() & Inputs.model_fields.keys() == {"data", "encoder", "fcam"}
