"""Record the cost of a stage (wall time, peak memory, forward passes) in one small file for each DVC cell.

DVC tells a command its stage in `DVC_STAGE` and the project in `DVC_ROOT`. Only such runs are recorded, below
`state/ledger/`, which is neither tracked nor an output: the cost of a run is not one of its results, and differs each
time.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ala.utils.files import write_json

FOLDER = Path("state/ledger")

_forwards = 0
_halved: int | None = None


def count_forwards(images: int) -> None:
    """Add `images` that a model saw."""
    global _forwards
    _forwards += images


def note_halved(images: int) -> None:
    """Record that the device's memory held only this number of `images` at a time."""
    global _halved
    _halved = images if _halved is None else min(_halved, images)


@contextmanager
def recorded() -> Iterator[None]:
    """Record the cost of the block as that of the running DVC stage; do nothing outside DVC.

    A block that fails leaves no record, so every record belongs to a finished stage.
    """
    global _forwards, _halved
    stage, root = os.environ.get("DVC_STAGE"), os.environ.get("DVC_ROOT")
    if not stage or not root:
        yield
        return
    _forwards, _halved, start = 0, None, time.perf_counter()
    yield
    entry: dict[str, Any] = {
        "stage": stage,
        "seconds": round(time.perf_counter() - start, 2),
        "peak_memory_mb": _peak_memory_mb(),
        "forwards": _forwards,
        "batch_halved_to": _halved,
        **_machine(),
    }
    write_json(Path(root) / FOLDER / f"{_file_name(stage)}.json", entry)


def entries(root: Path = Path()) -> list[dict[str, Any]]:
    """Read the records of finished stages below `root`, by stage name; files that are no records are skipped."""
    found = []
    for path in sorted((root / FOLDER).glob("*.json")):
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue  # cut off by a crash of an older version; the stage's next run replaces it
        if isinstance(entry, dict) and "stage" in entry:
            found.append(entry)
    return sorted(found, key=lambda entry: str(entry["stage"]))


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
