"""The cost of a stage is written down when DVC runs it, and only then."""

from __future__ import annotations

import json

import pytest
import torch

from ala.utils.errors import UserError, reported
from ala.utils.fitting import Halving
from ala.utils.ledger import FOLDER, count_forwards, entries


@pytest.fixture
def dvc(monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_STAGE", "explain@0")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def test_a_finished_stage_is_recorded(dvc):
    with reported():
        count_forwards(3)
        count_forwards(4)
    (entry,) = entries(dvc)
    assert entry["stage"] == "explain@0"
    assert entry["forwards"] == 7
    assert 0 <= entry["seconds"] < 60
    assert entry["peak_memory_mb"] > 5
    assert set(entry) == {
        "stage", "seconds", "peak_memory_mb", "forwards", "batch_halved_to", "device", "threads",
        "peak_device_memory_mb",
    }  # fmt: skip


def test_the_smallest_part_of_a_batch_is_recorded(dvc):
    def work(start: int, stop: int) -> int:
        if stop - start > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return stop - start

    with reported():
        assert Halving()(0, 14, work) == [3, 3, 3, 3, 2]
        assert Halving()(0, 2, work) == [2]
    assert entries(dvc)[0]["batch_halved_to"] == 3
    with reported():
        Halving()(0, 2, work)
    assert entries(dvc)[0]["batch_halved_to"] is None


def test_counting_starts_anew_for_each_stage(dvc):
    for count in (5, 2):
        with reported():
            count_forwards(count)
    assert entries(dvc)[0]["forwards"] == 2


def test_a_failed_stage_leaves_no_record(dvc):
    with pytest.raises(SystemExit), reported():
        raise UserError("no")
    assert entries(dvc) == []


def test_without_dvc_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with reported():
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_stage_becomes_a_file_name_and_broken_records_are_left_out(dvc, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "sub/dvc.yaml:train@a/b")
    with reported():
        pass
    assert [path.name for path in (dvc / FOLDER).iterdir()] == ["train@a_b.json"]
    (dvc / FOLDER / "cut.json").write_text('{"stage": ')
    (dvc / FOLDER / "list.json").write_text(json.dumps([1]))
    assert [entry["stage"] for entry in entries(dvc)] == ["sub/dvc.yaml:train@a/b"]
