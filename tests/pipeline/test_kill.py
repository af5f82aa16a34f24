"""`dvc repro` is killed again and again, as by a power cut, and ends with the tables of an unbroken run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.pipeline.conftest import Scratch, clone

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]
KILLS = int(os.environ.get("ALA_KILLS", "20"))
LONGEST = float(os.environ.get("ALA_KILL_SECONDS", "14"))  # between a start and its kill


def killed_after(scratch: Scratch, seconds: float, log: Path) -> int | None:
    """Start `dvc repro` and kill it and all its children; its exit status if it ended before."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {
        "PATH": path, "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1", "ALA_KEEP_SECONDS": "0", "ALA_UNIT_LOG": str(log)
    }  # fmt: skip
    with (scratch.folder.parent / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            ["dvc", "repro"], cwd=scratch.folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None


def tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "reports/tables").glob("*.csv"))}


def test_twenty_kills_change_no_byte(scratch: Scratch, tmp_path_factory: pytest.TempPathFactory) -> None:
    broken = clone(tmp_path_factory.mktemp("broken"))
    log = broken.folder.parent / "units.txt"
    draw, kills, began = random.Random(0), 0, time.monotonic()
    status: int | None = None
    while status is None and kills < KILLS:
        status = killed_after(broken, draw.uniform(1, LONGEST), log)
        assert status in (None, 0), (broken.folder.parent / "output.txt").read_text()[-3000:]
        kills += status is None
    if status is None:
        status = killed_after(broken, 1800, log)
    output = (broken.folder.parent / "output.txt").read_text()
    assert status == 0, output[-3000:]

    units = Counter(log.read_text().splitlines())
    again = sum(count - 1 for count in units.values())
    print(f"{kills} kills in {time.monotonic() - began:.0f} s; {len(units):,} units of work, {again} done again")
    assert kills >= min(KILLS, 10), "the run was too short to be killed often"
    assert again <= kills, "a kill cost more than one unit"
    found, expected = tables(broken.folder), tables(scratch.folder)
    assert list(found) == list(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    left = [path for path in broken.folder.rglob(".*-*") if path.name.startswith((".maps", ".scores", ".seed-"))]
    assert len(left) <= kills  # a folder that was being written lies beside its place, under a name nobody reads
