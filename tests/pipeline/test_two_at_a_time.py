"""Runs beside one another: two stages, one stage twice, a queue, a reader. All end with what a lone run ends with."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.pipeline.conftest import Scratch

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]
SCORE = ["python", "-m", "stages.score", "--seed", "0", "--methods", "rise"]


def contents(*folders: Path) -> dict[str, bytes]:
    """Every file below `folders`, by its path."""
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=600)
    return process.returncode, said


def until(condition, seconds: float = 120) -> None:
    """Wait for `condition()`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


@pytest.fixture
def outs(scratch: Scratch) -> list[Path]:
    return [scratch.folder / "scores", scratch.folder / "maps"]


def test_two_stages_at_once(scratch: Scratch, outs: list[Path]) -> None:
    before, lock = contents(*outs), (scratch.folder / "dvc.lock").read_bytes()
    runs = [scratch.start("dvc", "repro", "-f", "-s", stage) for stage in ("score@rise-0", "edge@1")]
    for run in runs:
        status, said = ended(run)
        assert status == 0, said
    assert contents(*outs) == before
    assert (scratch.folder / "dvc.lock").read_bytes() == lock


def test_dvc_says_who_runs_the_same_stage(scratch: Scratch, outs: list[Path]) -> None:
    before = contents(*outs)
    removed = scratch.folder / "scores/rise/seed-0/rise/scores.csv"
    first = scratch.start("dvc", "repro", "-f", "-s", "score@rise-0")
    until(lambda: not removed.exists())
    second = scratch.run("dvc", "repro", "-f", "-s", "score@rise-0", check=False)
    status, said = ended(first)
    assert status == 0, said
    assert second.returncode != 0
    assert f"(PID {first.pid})" in second.stdout + second.stderr
    assert "is busy, it is being blocked by" in second.stdout + second.stderr
    assert contents(*outs) == before


def test_direct_runs_of_the_same_stage_leave_one_whole_result(scratch: Scratch, outs: list[Path]) -> None:
    """They know nothing of each other, and share the state of half-done work."""
    before = contents(*outs)
    for run in [scratch.start(*SCORE) for _ in range(3)]:
        status, said = ended(run)
        assert status == 0, said
    assert contents(*outs) == before
    assert "up to date" in scratch.run("dvc", "status", "score@rise-0").stdout


def test_a_queue_of_three(scratch: Scratch) -> None:
    """Each experiment has a folder of its own; what it enters into its dvc.lock is what the lone run entered."""
    stages = {"one": "score@rise-0", "two": "score@rise-1", "three": "edge@0"}
    for name, stage in stages.items():
        scratch.run("dvc", "exp", "run", "--queue", "-f", "--name", name, "-s", stage)
    try:
        scratch.run("dvc", "queue", "start", "-j", "4")
        until(
            lambda: not any(word in scratch.run("dvc", "queue", "status").stdout for word in ("Queued", "Running")), 600
        )
        status = scratch.run("dvc", "queue", "status").stdout
        assert status.count("Success") == 3, status
    finally:
        scratch.run("dvc", "queue", "stop", "--kill")
    refs = scratch.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
    wanted = scratch.run("git", "rev-parse", "HEAD:dvc.lock").stdout
    for name in stages:
        (ref,) = [ref for ref in refs if ref.endswith(f"/{name}")]
        assert scratch.run("git", "rev-parse", f"{ref}:dvc.lock").stdout == wanted


def test_a_reader_of_the_report_during_a_rebuild(scratch: Scratch) -> None:
    reports = scratch.folder / "reports"
    files = [reports / "report.md", reports / "index.html", *sorted((reports / "tables").glob("*.csv"))]
    assert len(files) > 10
    before = {path: path.read_bytes() for path in files}
    rebuild = scratch.start("dvc", "repro", "-f", "-s", "report")
    rounds, bad = 0, set()
    while rebuild.poll() is None:
        for path, content in before.items():
            try:
                if path.read_bytes() != content:  # the new file has the same bytes as the old one
                    bad.add(f"{path.name}: other bytes")
            except FileNotFoundError:  # a folder is absent for a moment, a file never
                bad |= {f"{path.name}: absent"} if path.parent == reports else set()
        rounds += 1
        time.sleep(0.001)
    status, said = ended(rebuild)
    assert status == 0, said
    assert rounds > 100
    assert bad == set()
