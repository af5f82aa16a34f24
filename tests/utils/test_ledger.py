"""The cost of a stage is written down when DVC runs it, and only then."""

from __future__ import annotations

import json
import time

import pytest
import torch

from ala.config import load
from ala.utils.errors import UserError, reported
from ala.utils.fitting import Halving
from ala.utils.ledger import FOLDER, count_forwards, entries, note, running, work
from ala.utils.progress import progress, track
from tests.imports import ROOT


@pytest.fixture
def dvc(monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_STAGE", "explain@0")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def test_a_finished_stage_is_recorded(dvc):
    with reported():
        settings = load(ROOT / "params.yaml")
        count_forwards(3)
        count_forwards(4)
    (entry,) = entries(dvc, "mini")
    assert entry["stage"] == "explain@0"
    assert entry["forwards"] == 7
    assert 0 <= entry["seconds"] < 60
    assert entry["peak_memory_mb"] > 5
    assert entry["settings"] == settings.active.model_dump(mode="json")
    assert set(entry) == {
        "stage", "seconds", "peak_memory_mb", "forwards", "batch_halved_to", "device", "threads",
        "peak_device_memory_mb", "work", "profile", "settings", "out_bytes",
    }  # fmt: skip


def seconds(kind: str) -> float:
    return running()["work"][kind]["seconds"]


def test_each_kind_of_work_gets_the_seconds_that_are_not_in_another_one(dvc):
    with reported():
        for _ in track([1, 2], "epochs"):
            time.sleep(0.02)
            with progress(6, "images", unit="image") as advance:
                for _ in range(2):
                    time.sleep(0.01)
                    advance(3)
        time.sleep(0.02)
        note(profile="mini")
    (entry,) = entries(dvc, "mini")
    assert {kind: spent["units"] for kind, spent in entry["work"].items()} == {"epochs": 2, "images": 12}
    assert entry["work"]["images"]["first_units"] == 3
    assert 0.01 <= entry["work"]["images"]["first_seconds"] < entry["work"]["images"]["seconds"]
    assert 0.04 <= entry["work"]["images"]["seconds"] < entry["seconds"] - 0.06 + 0.01
    assert 0.04 <= entry["work"]["epochs"]["seconds"] < entry["seconds"] - 0.06 + 0.01


def test_work_that_is_left_early_or_late_takes_nothing_from_others():
    with reported():
        left = iter(track([1, 2], "left"))
        next(left)
        with pytest.raises(ZeroDivisionError), work("broken"):
            raise ZeroDivisionError
        with work("around"):
            other = iter(track([1, 2], "inside"))
            next(other)
        time.sleep(0.02)
        other.close()
    assert seconds("around") < 0.01
    assert seconds("inside") < 0.01


def test_the_size_of_what_a_stage_wrote_is_in_the_lock(dvc):
    lock = "stages:\n  explain@0:\n    outs:\n    - {path: a, size: 3}\n    - {path: b, size: 4}\n"
    (dvc / "dvc.lock").write_text(lock)
    with reported():
        note(profile="mini")
    assert entries(dvc, "mini")[0]["out_bytes"] == 7


def test_the_smallest_part_of_a_batch_is_recorded(dvc):
    def part(start: int, stop: int) -> int:
        if stop - start > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return stop - start

    with reported():
        note(profile="mini")
        assert Halving()(0, 14, part) == [3, 3, 3, 3, 2]
        assert Halving()(0, 2, part) == [2]
    assert entries(dvc, "mini")[0]["batch_halved_to"] == 3
    with reported():
        note(profile="mini")
        Halving()(0, 2, part)
    assert entries(dvc, "mini")[0]["batch_halved_to"] is None


def test_counting_starts_again_for_each_stage(dvc):
    for count in (5, 2):
        with reported():
            note(profile="mini")
            count_forwards(count)
    assert entries(dvc, "mini")[0]["forwards"] == 2


def test_a_failed_stage_leaves_no_record(dvc):
    with pytest.raises(SystemExit), reported():
        raise UserError("no")
    assert entries(dvc, "mini") == []


def test_without_dvc_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with reported():
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_stage_becomes_a_file_name_and_broken_records_are_left_out(dvc, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "sub/dvc.yaml:train@a/b")
    with reported():
        note(profile="mini")
    assert [path.name for path in (dvc / FOLDER / "mini").iterdir()] == ["train@a_b.json"]
    (dvc / FOLDER / "mini/cut.json").write_text('{"stage": ')
    (dvc / FOLDER / "mini/list.json").write_text(json.dumps([1]))
    assert [entry["stage"] for entry in entries(dvc, "mini")] == ["sub/dvc.yaml:train@a/b"]
