"""Units of finished work: whole or absent, never another run's, gone when the work is done."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ala.utils import errors, interrupt
from ala.utils.errors import UserError
from ala.utils.resume import Resumable, sweep

SETTINGS = {"lr": 0.1, "seed": 0}


def opened(root, **changes):
    return Resumable.open("train/abn/seed-0", **{"settings": SETTINGS, "root": root} | changes)


@pytest.fixture(autouse=True)
def _no_dvc(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.delenv("ALA_STATE", raising=False)


def test_units_come_back_as_they_were(tmp_path):
    opened(tmp_path).keep_arrays("shard 0/1", {"a": np.arange(3, dtype=np.int16), "b": np.float32(2).reshape(())})
    work = opened(tmp_path)
    arrays = work.arrays("shard 0/1")
    assert arrays["a"].dtype == np.int16
    assert arrays["a"].tolist() == [0, 1, 2]
    assert arrays["b"] == 2
    assert work.arrays("shard 1") is None
    work.forget("shard 0/1")
    assert work.arrays("shard 0/1") is None
    assert work.folder.parent == tmp_path / "resume"
    assert work.folder.name.startswith("train-abn-seed-0-")


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:70], lambda b: b"", lambda b: b[:99] + b"?" + b[100:]]
)
def test_a_damaged_unit_counts_as_absent(tmp_path, damage, capsys):
    work = opened(tmp_path)
    work.keep_arrays("a", {"x": np.arange(100)})
    for path in work.folder.iterdir():
        path.write_bytes(damage(path.read_bytes()))
    assert work.arrays("a") is None
    assert capsys.readouterr().err.count(" is damaged") == 1


def test_finished_work_leaves_nothing(tmp_path):
    work = opened(tmp_path)
    work.keep_arrays("a", {"x": np.arange(3)})
    work.finish()
    assert list((tmp_path / "resume").iterdir()) == []
    opened(tmp_path).finish()  # nothing was kept: nothing to remove


def test_inside_dvc_units_stay_until_the_lock_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "train@0")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    work = opened(tmp_path)
    work.keep_arrays("a", {"x": np.arange(3)})
    work.finish()
    (tmp_path / "dvc.lock").touch()
    os.utime(tmp_path / "dvc.lock", ns=(1, 1))  # of the stages before
    assert opened(tmp_path).arrays("a") is not None  # killed before DVC wrote: the same command has all units
    work.finish()
    later = (work.folder / "finished").stat().st_mtime_ns + 1  # file times are coarser than two calls
    os.utime(tmp_path / "dvc.lock", ns=(later, later))
    sweep(tmp_path)
    assert list((tmp_path / "resume").iterdir()) == []


def test_short_units_are_not_worth_a_file_each(tmp_path, monkeypatch):
    assert not opened(tmp_path).due()
    monkeypatch.setenv("ALA_KEEP_SECONDS", "0")
    assert opened(tmp_path).due()
    monkeypatch.setenv("ALA_KEEP_SECONDS", "often")
    with pytest.raises(UserError, match="often"):
        opened(tmp_path)


def test_what_was_computed_can_be_counted(tmp_path, monkeypatch):
    monkeypatch.setenv("ALA_UNIT_LOG", str(tmp_path / "log"))
    opened(tmp_path).mark("epoch 3")
    assert (tmp_path / "log").read_text() == "train/abn/seed-0\tepoch 3\n"


def test_state_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "resume").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="ALA_STATE"):
        Resumable("x", tmp_path / "resume" / "x-0").keep_arrays("a", {"x": np.arange(3)})


def test_after_a_signal_finish_keeps_the_units(tmp_path, monkeypatch, capfd):
    work_folder = None
    with pytest.raises(SystemExit) as stop, errors.reported():  # noqa: PT012
        work = opened(tmp_path)
        work_folder = work.folder
        work.keep_arrays("a", {"x": np.arange(3)})
        os.kill(os.getpid(), 15)
        assert interrupt.requested()
        assert work.due()
        work.finish()
    assert stop.value.code == 130
    assert "run the same command" in capfd.readouterr().err
    assert len(list(work_folder.iterdir())) == 1
