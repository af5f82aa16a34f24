"""Record the cost of a stage (seconds by kind of work, memory, forward passes) in one small file for each DVC cell.

DVC tells a command its stage in `DVC_STAGE` and the project in `DVC_ROOT`. Only such runs are recorded, below
`state/ledger/PROFILE/`, which is neither tracked nor an output: the cost of a run is not one of its results, and
differs each time. :mod:`ala.pipeline.plan` predicts from these records what another run will cost.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ala.utils.files import write_json

FOLDER = Path("state/ledger")


class Clock:
    """Divides the seconds of a process among kinds of work; the innermost kind that is open gets them.

    Attributes:
        work: by kind, `units` done, `seconds`, and those of the first part (`first_units`, `first_seconds`), which
            includes what a process does once.
        facts: what else the record holds.
        began: when, by `time.perf_counter`.
    """

    def __init__(self) -> None:
        self.work: dict[str, dict[str, float]] = {}
        self.facts: dict[str, Any] = {"forwards": 0, "batch_halved_to": None}
        self._open: list[dict[str, float]] = [{"seconds": 0.0}]  # the first one: outside of all kinds
        self.began = self._since = time.perf_counter()

    @contextmanager
    def running(self, kind: str) -> Iterator[Callable[[int], None]]:
        """Record a block as work of `kind`; it reports each number of units that it has finished."""
        self._charge()
        spent = self.work.setdefault(kind, dict.fromkeys(("units", "seconds", "first_units", "first_seconds"), 0.0))
        self._open.append(spent)

        def done(units: int) -> None:
            self._charge()
            spent["units"] += units
            if not spent["first_units"]:
                spent["first_units"], spent["first_seconds"] = units, spent["seconds"]

        try:
            yield done
        finally:
            self._charge()
            if any(one is spent for one in self._open):  # else the block around it was left first
                while self._open.pop() is not spent:
                    pass

    def _charge(self) -> None:
        now = time.perf_counter()
        self._open[-1]["seconds"] += now - self._since
        self._since = now


_clock = Clock()


@contextmanager
def work(kind: str) -> Iterator[Callable[[int], None]]:
    """Record a block as work of `kind` of the running stage; see :meth:`Clock.running`."""
    with _clock.running(kind) as done:
        yield done


def count_forwards(images: int) -> None:
    """Add `images` that a model saw."""
    _clock.facts["forwards"] += images


def note_halved(images: int) -> None:
    """Record that the device's memory held only this number of `images` at a time."""
    before = _clock.facts["batch_halved_to"]
    _clock.facts["batch_halved_to"] = images if before is None else min(before, images)


def note(**facts: Any) -> None:
    """Add facts to the record of the running stage."""
    _clock.facts.update(facts)


@contextmanager
def recorded() -> Iterator[None]:
    """Record the cost of the block as that of the running DVC stage; do nothing outside DVC.

    A block that fails leaves no record, so every record belongs to a finished stage.
    """
    global _clock
    stage, root = os.environ.get("DVC_STAGE"), os.environ.get("DVC_ROOT")
    if not stage or not root:
        yield
        return
    _clock = Clock()
    yield
    entry = running()
    write_json(Path(root) / FOLDER / _file_name(entry.get("profile", "")) / f"{_file_name(stage)}.json", entry)


def running() -> dict[str, Any]:
    """Return the record of the running stage so far; its `stage` is None outside DVC."""
    return {
        "stage": os.environ.get("DVC_STAGE"),
        "seconds": round(time.perf_counter() - _clock.began, 2),
        "peak_memory_mb": _peak_memory_mb(),
        **_machine(),
        **_clock.facts,
        "work": {kind: {key: round(value, 3) for key, value in one.items()} for kind, one in _clock.work.items()},
    }


def entries(root: Path, profile: str) -> list[dict[str, Any]]:
    """Read the records of finished stages of `profile` below `root`, by stage name; other files are skipped.

    `out_bytes` in a record is the size of the stage's outs in dvc.lock.
    """
    found, sizes = [], out_bytes(root / "dvc.lock")
    for path in sorted((root / FOLDER / _file_name(profile)).glob("*.json")):
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue  # cut off by a crash of an older version; the stage's next run replaces it
        if isinstance(entry, dict) and "stage" in entry:
            found.append({**entry, "out_bytes": sizes.get(entry["stage"], 0)})
    return sorted(found, key=lambda entry: str(entry["stage"]))


def out_bytes(lock: Path) -> dict[str, int]:
    """Read the bytes of each stage's outs from dvc.lock; empty if there is none."""
    if not lock.is_file():
        return {}
    stages = YAML(typ="safe").load(lock.read_text(encoding="utf-8"))["stages"]
    return {name: sum(out.get("size", 0) for out in stage.get("outs", ())) for name, stage in stages.items()}


def _file_name(stage: str) -> str:
    """DVC's address (`explain@0`, `sub/dvc.yaml:train@1`) as a file name."""
    return re.sub(r"[^A-Za-z0-9_.@-]", "_", stage.rsplit(":", 1)[-1])


def _peak_memory_mb() -> int | None:
    """Largest resident memory of this process so far, in MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(largest / (2**20 if sys.platform == "darwin" else 2**10))


def _machine() -> dict[str, Any]:
    """Device and threads, where torch was used at all."""
    if "torch" not in sys.modules:
        return {"device": "cpu", "threads": 1, "peak_device_memory_mb": None}
    import torch

    cuda = torch.cuda.is_initialized()
    return {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "peak_device_memory_mb": round(torch.cuda.max_memory_allocated() / 2**20) if cuda else None,
    }
