"""What killed runs of DVC left in its list of who reads and writes which file (`make unlock`, with
:mod:`ala.runtime.dvc_lockfile`).

DVC's short locks, `.dvc/tmp/lock` and `rwlock.lock`, are held by the system and end with their process. The list
`.dvc/tmp/rwlock` is a file. DVC drops an entry of a process that is gone when it meets one, but two leftovers stop it:
a list that a kill cut short, and an entry whose number another program has got since.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from ala.runtime.dvc_lockfile import mend
from ala.runtime.errors import UserError, reported
from ala.runtime.files import write_text

Folder = Annotated[Path, typer.Option(help="DVC's folder for temporary files.")]
LockFile = Annotated[Path, typer.Option(help="DVC's record of the finished stages.")]


def main(folder: Folder = Path(".dvc/tmp"), lock_file: LockFile = Path("dvc.lock")) -> None:
    """Remove the locks of DVC runs that no longer live; those of living ones stay, and are told. Mend a dvc.lock that
    a kill cut short.

    Example: python -m ala.runtime.dvc_locks
    """
    with reported():
        for line in clean(folder) or [f"{folder / 'rwlock'}: nobody holds a lock"]:
            print(line)
        print(mend(lock_file, folder) or f"{lock_file}: not cut short")


def clean(folder: Path) -> list[str]:
    """Remove from `folder`/rwlock what no living run of DVC holds; a sentence for each run, or none.

    Raises:
        UserError: a run of DVC is changing the list just now.
    """
    from dvc.lock import LockError, make_lock

    file = folder / "rwlock"
    if not file.exists():
        return []
    try:
        with make_lock(str(folder / "rwlock.lock"), tmp_dir=str(folder)):
            return _cleaned(file)
    except LockError:
        raise UserError(f"{file} is in use by a run of DVC; wait a moment and try again") from None


def _cleaned(file: Path) -> list[str]:
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        readers = {path: list(entries) for path, entries in held.get("read", {}).items()}
        writers = dict(held.get("write", {}))
        runs = {_run(entry) for entries in [*readers.values(), list(writers.values())] for entry in entries}
    except (ValueError, AttributeError, TypeError, KeyError):
        file.unlink()
        return [f"removed {file}, which a kill had cut short"]
    gone = {run for run in runs if not _lives(run[0])}
    if gone:
        kept_readers = {path: [one for one in entries if _run(one) not in gone] for path, entries in readers.items()}
        left = {
            "write": {path: entry for path, entry in writers.items() if _run(entry) not in gone},
            "read": {path: entries for path, entries in kept_readers.items() if entries},
        }
        write_text(file, json.dumps(left))
    return [
        f"removed the locks of process {pid} (`{command}`), which no longer runs"
        if (pid, command) in gone
        else f"kept the locks of process {pid} (`{command}`), which still runs"
        for pid, command in sorted(runs)
    ]


def _run(entry: dict[str, Any]) -> tuple[int, str]:
    """Number and command of the process of an entry."""
    return int(entry["pid"]), str(entry["cmd"])


def _lives(pid: int) -> bool:
    """Whether process `pid` is a run of DVC; in doubt it is."""
    try:
        return "dvc" in " ".join(psutil.Process(pid).cmdline())
    except psutil.AccessDenied:
        return True
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False


if __name__ == "__main__":
    typer.run(main)
