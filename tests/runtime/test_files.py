"""Files and folders are whole or absent, and readable by others."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from ala.runtime.files import atomic_folder, atomic_path, sha256, write_json, write_text


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


def test_json_does_not_depend_on_the_order_of_keys(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, None]})
    write_json(tmp_path / "b.json", {"a": [1.5, None], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1.5, None], "b": 1}


def test_sha256_is_that_of_the_bytes(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
