"""`make unlock` against DVC's own lock list: what is left of killed runs goes, what living ones hold stays."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.fs import localfs
from dvc.lock import LockError, make_lock
from dvc.rwlock import RWLockFileCorruptedError, rwlock

from ala.runtime.dvc_locks import clean, main
from ala.runtime.errors import UserError


def take(folder: Path) -> None:
    """Let DVC read `data` and write `model`, as a stage does."""
    with rwlock(str(folder), localfs, "dvc repro", ["/p/data"], ["/p/model"], False):
        pass


def process(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()", *words], stdin=subprocess.PIPE)


@pytest.fixture
def dvc() -> Iterator[subprocess.Popen[bytes]]:
    """A living run of DVC."""
    with process("dvc", "repro") as living:
        yield living
        living.communicate()


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A program that got the number of a run of DVC that is gone."""
    with process() as living:
        yield living
        living.communicate()


def write(folder: Path, **pids: int) -> None:
    """Let each process write a file of its name and read `data`."""
    entries = {name: {"pid": pid, "cmd": f"dvc repro {name}"} for name, pid in pids.items()}
    held = {"write": {f"/p/{name}": entry for name, entry in entries.items()}, "read": {"/p/data": [*entries.values()]}}
    (folder / "rwlock").write_text(json.dumps(held))


@pytest.mark.parametrize("text", ["", '{"write": {"/p/model": {"pid": 1', "[]", '{"write": {"/p/model": 3}}'])
def test_a_list_that_was_cut_short_goes(tmp_path, text):
    (tmp_path / "rwlock").write_text(text)
    (line,) = clean(tmp_path)
    assert line == f"removed {tmp_path / 'rwlock'}, which a kill had cut short"
    take(tmp_path)


def test_dvc_itself_stops_at_an_empty_list(tmp_path):
    """The day this fails `make unlock` has less to do."""
    (tmp_path / "rwlock").write_text("")
    with pytest.raises(RWLockFileCorruptedError):
        take(tmp_path)


def test_a_number_that_another_program_has_is_freed(tmp_path, other):
    write(tmp_path, model=other.pid)
    with pytest.raises(LockError, match="is busy"):
        take(tmp_path)
    assert clean(tmp_path) == [f"removed the locks of process {other.pid} (`dvc repro model`), which no longer runs"]
    take(tmp_path)


def test_a_living_run_keeps_its_locks_and_a_dead_one_does_not(tmp_path, dvc, capsys):
    with process("dvc") as dead:
        dead.communicate()
    write(tmp_path, model=dvc.pid, other=dead.pid)
    main(tmp_path, tmp_path / "dvc.lock")
    said = capsys.readouterr().out
    assert f"kept the locks of process {dvc.pid} (`dvc repro model`), which still runs\n" in said
    assert f"removed the locks of process {dead.pid} (`dvc repro other`), which no longer runs\n" in said
    held = json.loads((tmp_path / "rwlock").read_text())
    assert list(held["write"]) == ["/p/model"]
    assert [entry["pid"] for entry in held["read"]["/p/data"]] == [dvc.pid]
    with pytest.raises(LockError, match=f"PID {dvc.pid}"):
        take(tmp_path)


def test_without_locks_there_is_nothing_to_do(tmp_path, capsys):
    assert clean(tmp_path) == []
    take(tmp_path)
    main(tmp_path, tmp_path / "dvc.lock")
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'rwlock'}: nobody holds a lock\n")


def test_a_list_in_use_is_left_alone(tmp_path):
    write(tmp_path, model=1)
    before = (tmp_path / "rwlock").read_text()
    with make_lock(str(tmp_path / "rwlock.lock"), tmp_dir=str(tmp_path)), pytest.raises(UserError, match="in use"):
        clean(tmp_path)
    assert (tmp_path / "rwlock").read_text() == before
