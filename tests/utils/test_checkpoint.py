"""A training's checkpoint: whole or absent, never another training's."""

from __future__ import annotations

import os

import pytest
import torch

from ala.utils.checkpoint import Checkpoint, checkpoints
from ala.utils.errors import UserError

SETTINGS = {"lr": 0.1, "seed": 0}


def named(root, **changes):
    return Checkpoint.of("train/abn/seed-0", **{"settings": SETTINGS, "root": root} | changes)


def test_a_state_comes_back_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("ALA_UNIT_LOG", str(tmp_path / "log"))
    state = {"w": torch.randn(2, 3), "rows": [{"epoch": 1, "x": None}], "score": (0.5, -1.0), "phase": "on"}
    assert named(tmp_path).load() is None
    named(tmp_path).save({"w": torch.zeros(1)}, 0)
    named(tmp_path).save(state, 1)
    back = named(tmp_path).load()
    assert torch.equal(back.pop("w"), state.pop("w"))
    assert back == state
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == [named(tmp_path).file.name]
    assert (tmp_path / "log").read_text() == "train/abn/seed-0\tepoch 0\ntrain/abn/seed-0\tepoch 1\n"


def test_anything_that_decides_names_another_file(tmp_path, monkeypatch):
    data, package = tmp_path / "data", tmp_path / "rules_of_test"
    for folder in (data, package):
        folder.mkdir()
    (data / "x").write_bytes(b"1")
    (package / "__init__.py").touch()
    (package / "one.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ALA_STATE", str(tmp_path / "elsewhere"))

    def files():
        return [
            named(tmp_path).file, named(tmp_path, settings={**SETTINGS, "lr": 0.2}).file,
            named(tmp_path).part("decoder").file, named(None).file, named(tmp_path, inputs=[data]).file,
            named(tmp_path, code=["rules_of_test"]).file, named(tmp_path, code=["rules_of_test.one"]).file,
        ]  # fmt: skip

    first = files()
    assert files() == first
    assert len(set(first)) == len(first)
    assert first[3].parent == tmp_path / "elsewhere/checkpoints"
    (data / "x").write_bytes(b"2")
    os.utime(data / "x", ns=(1, 1))
    (package / "one.py").write_text("x = 2\n")
    second = files()
    assert second[:4] == first[:4]
    assert not set(second[4:]) & set(first)
    (data / "x").rename(data / "y")
    assert files()[4] != second[4]


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:70], lambda b: b"", lambda b: b[:99] + b"?" + b[100:]]
)
def test_a_damaged_file_counts_as_absent(tmp_path, damage, capsys):
    checkpoint = named(tmp_path)
    checkpoint.save({"x": torch.arange(100)}, 0)
    checkpoint.file.write_bytes(damage(checkpoint.file.read_bytes()))
    assert checkpoint.load() is None
    assert capsys.readouterr().err.count(" is damaged") == 1


def test_a_state_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="ALA_STATE"):
        named(tmp_path).save({"x": 1}, 0)


def test_checkpoints_are_listed_and_nothing_else(tmp_path):
    named(tmp_path).save({"x": 1}, 0)
    (tmp_path / "checkpoints/thesis.pt").write_text("mine")
    assert list(checkpoints(tmp_path)) == [named(tmp_path).file]
