"""Two runs that write the same folder do so one after the other, others at the same time."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ala.runtime.errors import UserError
from ala.runtime.locks import held
from tests.imports import ROOT, dvc_stages

STAGES = dvc_stages()

#: A stage in small: notes when it began to work and when it ended, and works as long as it is told.
STAGE = """
import sys, time
from pathlib import Path
from ala.runtime.errors import reported
name, seconds, *outs = sys.argv[1:]
with reported(*map(Path, outs)):
    print("began", name, flush=True)
    time.sleep(float(seconds))
    print("ended", name, flush=True)
"""


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("ALA_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


class Run:
    """A stage in a process of its own, whose lines on both streams come back in order."""

    def __init__(self, folder: Path, name: str, seconds: float, *outs: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", STAGE, name, str(seconds), *outs], cwd=folder, text=True,
            env={"PYTHONPATH": str(ROOT), "ALA_STATE": str(folder / "state")},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str]:
        said, _ = self.process.communicate(timeout=60)
        return self.process.returncode, said


def test_the_second_run_says_who_writes_and_waits(tmp_path):
    first = Run(tmp_path, "first", 30, "models/abn/seed-0")
    assert first.line() == "began first"
    second = Run(tmp_path, "second", 0, str(tmp_path / "models" / "other" / ".." / "abn" / "seed-0"))
    said = second.line()
    assert f"is being written by process {first.process.pid} (`python" in said
    assert " since 20" in said
    assert "Ctrl-C gives up" in said
    time.sleep(0.3)
    assert second.process.poll() is None
    first.process.send_signal(signal.SIGKILL)  # the system releases the lock, whatever stands in its file
    assert second.end() == (0, "began second\nended second\n")
    first.end()


def test_other_folders_are_written_at_the_same_time(tmp_path):
    first = Run(tmp_path, "first", 30, "models/abn/seed-0")
    assert first.line() == "began first"
    second = Run(tmp_path, "second", 0, "models/abn/seed-1", "models/fcam/seed-0")
    assert second.end() == (0, "began second\nended second\n")
    first.process.kill()
    first.end()


def test_runs_that_share_some_folders_never_wait_in_a_circle(tmp_path):
    outs = ["maps/a", "maps/b", "maps/c"]
    runs = [Run(tmp_path, str(turn), 0.2, *outs[turn:], *outs[:turn]) for turn in range(3)]
    for turn, run in enumerate(runs):
        status, said = run.end()
        assert status == 0
        assert said.endswith(f"began {turn}\nended {turn}\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_waits_can_be_stopped(tmp_path, number):
    first = Run(tmp_path, "first", 30, "reports")
    assert first.line() == "began first"
    second = Run(tmp_path, "second", 0, "reports")
    assert "is being written by" in second.line()
    second.process.send_signal(number)
    status, said = second.end()
    assert status == 130
    assert "Traceback" not in said
    assert first.process.poll() is None
    first.process.kill()
    first.end()


def test_the_lock_file_names_no_host(state):
    with held([Path("models/abn/seed-0")]):
        (file,) = (state / "locks").iterdir()
        entry = json.loads(file.read_text())
    assert file.name.startswith("models-abn-seed-0-")
    assert set(entry) == {"pid", "command", "since"}
    assert not entry["command"].startswith("/")
    with held([Path("models/abn/seed-0")]):  # released
        assert list((state / "locks").iterdir()) == [file]


def test_a_state_folder_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ALA_STATE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be locked \(.*ALA_STATE"), held([Path("out")]):
        pytest.fail("locked")


COMMANDS = [
    one for stage in STAGES.values() for one in ([stage["cmd"]] if isinstance(stage["cmd"], str) else stage["cmd"])
]


@pytest.mark.parametrize("name", sorted({command.split()[2] for command in COMMANDS}))
def test_every_stage_names_what_it_writes(name):
    tree = ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "reported"]
    assert len(calls) == 1
    assert calls[0].args
