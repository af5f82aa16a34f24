"""Files and folders are whole or absent, and readable by others."""

from __future__ import annotations

import errno
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

from ala.utils.files import atomic_folder, atomic_path, put_in_place, scratch_folder, sha256, write_json, write_text


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


def test_a_folder_is_replaced_again_and_again(tmp_path):
    for text in ("one", "two", "three"):
        with atomic_folder(tmp_path / "tables") as folder:
            (folder / f"{text}.csv").write_text(text)
        assert names(tmp_path) == ["tables"]
        assert names(tmp_path / "tables") == [f"{text}.csv"]


def test_a_link_to_a_folder_is_replaced_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept.csv").write_text("kept")
    (tmp_path / "tables").symlink_to(elsewhere)
    with atomic_folder(tmp_path / "tables") as folder:
        (folder / "new.csv").write_text("new")
    assert not (tmp_path / "tables").is_symlink()
    assert names(tmp_path / "tables") == ["new.csv"]
    assert names(elsewhere) == ["kept.csv"]


def test_a_file_in_the_place_of_a_folder_stays(tmp_path):
    (tmp_path / "tables").write_text("mine")
    with pytest.raises(NotADirectoryError), atomic_folder(tmp_path / "tables") as folder:
        (folder / "new.csv").write_text("new")
    assert (tmp_path / "tables").read_text() == "mine"
    assert names(tmp_path) == ["tables"]


def read_again_and_again(target: Path, begun: Event, stop: Event, found: Path) -> None:
    """Note what a reader may meet that is neither the old file nor the new one; a folder may be absent."""
    bad, times = [], 0
    while not stop.is_set():
        for path in (target / "main.csv", target.parent / "report.md"):
            try:
                text = path.read_text()
            except FileNotFoundError as error:
                if path.name == "report.md":
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
    context = get_context("spawn")
    begun, stop = context.Event(), context.Event()
    reader = context.Process(target=read_again_and_again, args=(target, begun, stop, found))
    reader.start()
    assert begun.wait(60)
    for round_ in range(500):
        rebuild("ab"[round_ % 2])
    stop.set()
    reader.join(60)
    reported = json.loads(found.read_text())
    assert reported["times"] > 500
    assert reported["bad"] == [], f"{reported['count']} bad predictions in {reported['times']} rounds"


def write_again_and_again(target: Path, letter: str, turns: int) -> None:
    """Replace `target` by folders of three files with `letter`."""
    for _ in range(turns):
        with atomic_folder(target) as folder:
            for name in ("scores.csv", "curves.npz", "summary.json"):
                (folder / name).write_text(letter)


def test_of_two_writers_of_a_folder_one_is_there_whole(tmp_path):
    target, context = tmp_path / "seed-0", get_context("spawn")
    writers = [context.Process(target=write_again_and_again, args=(target, letter, 300)) for letter in "ab"]
    for writer in writers:
        writer.start()
    mixed, times = [], 0
    while any(writer.is_alive() for writer in writers):
        handle = None
        with suppress(FileNotFoundError):  # the folder that was opened, whatever has its name meanwhile
            handle = os.open(target, os.O_RDONLY)
        if handle is None:
            continue
        before = os.fstat(handle).st_nlink
        letters = set()
        for name in ("scores.csv", "curves.npz", "summary.json"):
            with suppress(FileNotFoundError):
                file = os.open(name, os.O_RDONLY, dir_fd=handle)
                letters.add(os.read(file, 9))
                os.close(file)
        os.close(handle)
        times += before > 0
        mixed += [letters] if len(letters) > 1 else []
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert times > 50
    assert mixed == []
    assert names(tmp_path) == ["seed-0"]
    assert names(target) == ["curves.npz", "scores.csv", "summary.json"]
    assert len({file.read_text() for file in target.iterdir()}) == 1


_KILLED = """
import os, signal, sys
from pathlib import Path
from ala.utils import files
rename = Path.rename
def killed(*paths):
    rename(*paths)
    os.kill(os.getpid(), signal.SIGKILL)
Path.rename = killed
with files.atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "new.csv").write_text("new")
"""


def test_a_kill_between_two_renames_leaves_no_folder_and_no_half_one(tmp_path):
    target = tmp_path / "tables"
    target.mkdir()
    (target / "old.csv").write_text("old")
    done = subprocess.run([sys.executable, "-c", _KILLED, str(target)], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not target.exists()
    assert len(names(tmp_path)) == 2  # the old and the new one, which the next writer removes
    with atomic_folder(target) as folder:
        (folder / "again.csv").write_text("again")
    assert names(tmp_path) == ["tables"]
    assert names(target) == ["again.csv"]


def test_a_folder_that_a_containers_image_holds_is_copied_aside(tmp_path, monkeypatch):
    target, rename = tmp_path / "tables", os.rename
    target.mkdir()
    (target / "old.csv").write_text("old")

    def refused(path: str | Path, to: str | Path) -> None:
        if Path(path) == target:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))  # what overlayfs says of its lower layer
        rename(path, to)

    monkeypatch.setattr("os.rename", refused)
    with atomic_folder(target) as folder:
        (folder / "new.csv").write_text("new")
    assert names(tmp_path) == ["tables"]
    assert names(target) == ["new.csv"]


def test_what_a_killed_writer_left_goes_and_what_others_have_stays(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from ala.utils.files import scratch_folder\n"
        "with scratch_folder(Path(sys.argv[1]), '.tables-') as folder:\n"
        "    (folder / 'inner').mkdir()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (abandoned,) = names(tmp_path)
    stays = [".tables-mine", ".tables-0f0f0f0f-1-abcdefgh", abandoned.replace(".tables-", ".tables-more-")]
    for name in stays:
        (tmp_path / name).mkdir()
    with scratch_folder(tmp_path, ".tables-") as living, atomic_folder(tmp_path / "tables") as folder:
        (folder / "new.csv").write_text("new")
        assert not (tmp_path / abandoned).exists()
        assert living.is_dir()
    assert names(tmp_path) == sorted([*stays, "tables"])


def test_no_disk_lock_is_needed(tmp_path, monkeypatch):
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refused)
    monkeypatch.setattr("fcntl.lockf", refused)
    with atomic_folder(tmp_path / "tables") as folder:
        (folder / "new.csv").write_text("new")
    assert names(tmp_path / "tables") == ["new.csv"]


def test_json_does_not_depend_on_the_order_of_keys(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, None]})
    write_json(tmp_path / "b.json", {"a": [1.5, None], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1.5, None], "b": 1}


def test_sha256_is_that_of_the_bytes(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
