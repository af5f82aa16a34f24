"""Files and folders are whole or absent, and readable by others."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from ala.runtime import files
from ala.runtime.files import atomic_folder, atomic_path, put_in_place, scratch_folder, sha256, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_file_replaces_the_old_one(tmp_path):
    target = tmp_path / "new" / "table.csv"
    for text in ("one", "two"):
        write_text(target, text)
        assert target.read_text() == text
    assert names(target.parent) == ["table.csv"]
    assert target.stat().st_mode & 0o777 == 0o644


def test_a_failed_writer_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            assert temporary.suffix == ".csv"
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write_half()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


def test_a_finished_folder_replaces_the_old_one_whole(tmp_path):
    target = tmp_path / "seed-0"
    target.mkdir()
    (target / "stale.npz").write_text("stale")
    with atomic_folder(target) as folder:
        handle = os.open(folder / "private.bin", os.O_CREAT | os.O_WRONLY, 0o600)
        os.close(handle)
        (folder / "inner").mkdir(mode=0o700)
    assert names(tmp_path) == ["seed-0"]
    assert names(target) == ["inner", "private.bin"]
    modes = {path.name: path.stat().st_mode & 0o777 for path in (target, *target.iterdir())}
    assert modes == {"seed-0": 0o755, "inner": 0o755, "private.bin": 0o644}


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    target = tmp_path / "seed-0"
    target.mkdir()
    (target / "kept.npz").write_text("kept")

    def write_half() -> None:
        with atomic_folder(target) as folder:
            (folder / "half.npz").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert names(tmp_path) == ["seed-0"]
    assert names(target) == ["kept.npz"]


@pytest.fixture(params=["exchanged", "renamed"])
def way(request, monkeypatch):
    """Both ways to replace a folder, whatever the file system of this machine can do."""
    if request.param == "renamed":
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    return request.param


def test_a_folder_is_replaced_either_way(way, tmp_path):
    for text in ("one", "two", "three"):
        with atomic_folder(tmp_path / "tables") as folder:
            (folder / f"{text}.csv").write_text(text)
        assert names(tmp_path) == ["tables"]
        assert names(tmp_path / "tables") == [f"{text}.csv"]


def read_again_and_again(target: Path, begun: Event, stop: Event, found: Path) -> None:
    """Note what a reader may meet that is neither the old file nor the new one."""
    bad, times = [], 0
    while not stop.is_set():
        for path in (target / "main.csv", target.parent / "report.md"):
            try:
                text = path.read_text()
            except OSError as error:
                bad.append(repr(error))
            else:
                if len(text) != 3000 or len(set(text)) != 1:
                    bad.append(f"{path.name}: {len(text)} characters, {set(text)}")
        times += 1
        begun.set()
    found.write_text(json.dumps({"times": times, "bad": bad[:5], "count": len(bad)}))


def test_a_reader_finds_the_old_or_the_new_file_whole(tmp_path):
    target, found = tmp_path / "reports" / "tables", tmp_path / "found.json"

    def rebuild(letter: str) -> None:
        with scratch_folder(target.parent, ".new-") as fresh:
            (fresh / "tables").mkdir()
            (fresh / "tables" / "main.csv").write_text(letter * 3000)
            (fresh / "report.md").write_text(letter * 3000)
            for part in ("tables", "report.md"):
                put_in_place(fresh / part, target.parent / part)

    rebuild("a")
    if not files._exchange(target, target):
        pytest.skip("this file system cannot exchange names")
    context = get_context("spawn")
    begun, stop = context.Event(), context.Event()
    reader = context.Process(target=read_again_and_again, args=(target, begun, stop, found))
    reader.start()
    assert begun.wait(60)
    for round_ in range(500):
        rebuild("ab"[round_ % 2])
    stop.set()
    reader.join(60)
    told = json.loads(found.read_text())
    assert told["times"] > 500  # enough to meet the gap that two renames leave, dozens of times
    assert told["bad"] == [], f"{told['count']} bad answers in {told['times']} rounds"


_KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from ala.runtime import files
move = shutil.move
def killed(*paths):
    move(*paths)
    os.kill(os.getpid(), signal.SIGKILL)
files._exchange, shutil.move = lambda one, other: False, killed
with files.atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "new.csv").write_text("new")
"""


def test_a_kill_between_two_renames_loses_nothing(tmp_path):
    target = tmp_path / "tables"
    target.mkdir()
    (target / "old.csv").write_text("old")
    done = subprocess.run([sys.executable, "-c", _KILLED, str(target)], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not target.exists()
    with suppress(OSError), atomic_folder(target):
        assert names(target) == ["old.csv"]  # put back before anything else
        raise OSError("full")
    assert names(tmp_path) == ["tables"]
    assert (target / "old.csv").read_text() == "old"


def test_what_a_killed_writer_left_goes_and_a_living_one_stays(tmp_path):
    target = tmp_path / "tables"
    (tmp_path / ".tables-abandoned" / "inner").mkdir(parents=True)
    with scratch_folder(tmp_path, ".tables-") as living, atomic_folder(target) as folder:
        (folder / "new.csv").write_text("new")
        assert not (tmp_path / ".tables-abandoned").exists()
        assert living.is_dir()
    assert names(tmp_path) == ["tables"]


def test_json_does_not_depend_on_the_order_of_keys(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, None]})
    write_json(tmp_path / "b.json", {"a": [1.5, None], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1.5, None], "b": 1}


def test_sha256_is_that_of_the_bytes(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
