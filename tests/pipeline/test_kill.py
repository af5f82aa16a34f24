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


def beside(scratch: Scratch, name: str) -> Path:
    """A file next to the clone that is its alone: the clones of one call lie in one folder."""
    return scratch.folder.with_name(f"{scratch.folder.name}-{name}")


def killed_after(scratch: Scratch, seconds: float, log: Path) -> int | None:
    """Start `dvc repro` and kill it and all its children; its exit status if it ended before."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {
        "PATH": path, "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1", "ALA_UNIT_LOG": str(log)
    }  # fmt: skip
    with beside(scratch, "output.txt").open("wb") as output:
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


#: What DVC says when it does not begin, because the last kill cut a file of its own short, and which file it is.
STOPPED = {
    "Unable to read RWLock-file": ".dvc/tmp/rwlock",
    "'./dvc.lock' validation failed": "dvc.lock",
    "'./dvc.lock' is invalid.": "dvc.lock",
}


def gone_on(broken: Scratch, seconds: float, log: Path) -> int | None:
    """:func:`killed_after`; where DVC refuses to begin, with what docs/errors.md advises: no run of it lives here, and
    no `dvc.lock` was ever committed."""
    status, output = killed_after(broken, seconds, log), beside(broken, "output.txt")
    cut = {file for words, file in STOPPED.items() if status not in (None, 0) and words in output.read_text()}
    for file in cut:
        (broken.folder / file).unlink()
        print(f"removed {file}, which a kill had cut short")
    if cut:
        status = killed_after(broken, seconds, log)
    assert status in (None, 0), output.read_text()[-3000:]
    return status


def tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "reports/tables").glob("*.csv"))}


def broken_off(broken: Scratch, most: int, longest: float, draw: random.Random) -> tuple[int, Counter[str]]:
    """Run `dvc repro` to its end, killed up to `most` times, each within `longest` seconds of its start.

    Returns:
        the number of kills, and how often each unit of work was done.
    """
    log, kills, status = beside(broken, "units.txt"), 0, None
    while status is None and kills < most:
        status = gone_on(broken, draw.uniform(1, longest), log)
        kills += status is None
    if status is None:
        assert gone_on(broken, 1800, log) == 0, "half an hour was not enough"
    return kills, Counter(log.read_text().splitlines())


def compare(broken: Scratch, whole: Scratch, kills: int, units: Counter[str]) -> int:
    """Hold a run that was killed against an unbroken one; the number of units of work that were done again."""
    again = sum(count - 1 for count in units.values())
    assert again <= kills, "a kill cost more than one unit"
    found, expected = tables(broken.folder), tables(whole.folder)
    assert list(found) == list(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    left = [path for path in broken.folder.rglob(".*-*") if path.name.startswith((".maps", ".scores", ".seed-"))]
    assert len(left) <= kills  # a folder that was being written lies beside its place, under a name nobody reads
    return again


def test_twenty_kills_change_no_byte(scratch: Scratch, tmp_path_factory: pytest.TempPathFactory) -> None:
    broken, began = clone(tmp_path_factory.mktemp("broken")), time.monotonic()
    kills, units = broken_off(broken, 20, 14, random.Random(0))
    again = compare(broken, scratch, kills, units)
    print(f"{kills} kills in {time.monotonic() - began:.0f} s; {len(units):,} units of work, {again} done again")
    assert kills >= 10, "the run was too short to be killed often"


@pytest.mark.soak
def test_a_hundred_kills_change_no_byte(scratch: Scratch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """New instants on every call; the seed of each round is printed."""
    total = done_again = 0
    while total < 100:
        seed, began = random.SystemRandom().randrange(2**32), time.monotonic()
        broken = clone(tmp_path_factory.mktemp("soaked"))
        kills, units = broken_off(broken, 60, 9, random.Random(seed))
        again = compare(broken, scratch, kills, units)
        total, done_again = total + kills, done_again + again
        print(f"seed {seed}: {kills} kills in {time.monotonic() - began:.0f} s, {again} of {len(units):,} units again")
    print(f"{total} kills, {done_again} units of work done again, tables identical after each round")
