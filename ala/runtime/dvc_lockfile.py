"""A `dvc.lock` that a kill cut short (`make unlock`).

DVC writes the file anew, in place, after each stage. A run that is killed meanwhile leaves its beginning, which the
next one refuses to read. The run cache gets a stage before `dvc.lock` does, so what was cut off is not lost.
"""

from __future__ import annotations

import re
from pathlib import Path

from ala.runtime.errors import UserError
from ala.runtime.files import write_text

_HEAD = b"schema: '2.0'\nstages:\n"
_STAGE = re.compile(rb"^  \S", re.MULTILINE)  # all within a stage stands deeper


def mend(file: Path, folder: Path) -> str | None:
    """Cut a `dvc.lock` that was cut short back to where DVC can read it; a sentence on it, or None if it was not.

    Args:
        file: the lock file.
        folder: DVC's folder for temporary files.

    Raises:
        UserError: a run of DVC is at work just now, or something else than a cut is wrong with `file`.
    """
    from dvc.lock import LockError, make_lock

    if not file.exists() or _stages(file.read_bytes()) is not None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with make_lock(str(folder / "lock"), tmp_dir=str(folder)):
            return _mended(file)
    except LockError:
        raise UserError(f"{file} is not whole, but a run of DVC is at work; wait a moment and try again") from None


def _mended(file: Path) -> str | None:
    from dvc.utils.strictyaml import merge_conflict_marker

    found = file.read_bytes()
    if _stages(found) is not None:  # the run that was at work has written the rest
        return None
    if merge_conflict_marker.search(found.decode(errors="replace")):
        raise UserError(f"{file} has the marks of a merge conflict; take one side, `git checkout --ours {file}`")
    starts = [match.start() for match in _STAGE.finditer(found)]
    for end in (found.rfind(b"\n") + 1, *starts[-1:]):  # without the line that was cut, without its stage
        if stages := _stages(found[:end]):
            write_text(file, found[:end].decode())
            return _told(f"mended {file}, which a kill had cut short: kept its stages up to {stages[-1]}")
    if len(starts) > 1 or not (found.startswith(_HEAD) or _HEAD.startswith(found.rstrip(b"\0"))):
        raise UserError(f"{file} is damaged, but not cut short; take the committed one, `git checkout {file}`")
    file.unlink()
    return _told(f"removed {file}, which a kill had cut short in its first stage")


def _told(done: str) -> str:
    return f"{done}; run `dvc repro`: what else was finished comes from the run cache, only the report is made again"


def _stages(text: bytes) -> list[str] | None:
    """The stages of a lock file; None if DVC does not read it or would not have ended it there."""
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException
    from dvc.utils.serialize import parse_yaml

    if not text.endswith(b"\n"):  # a value that was cut, as in `hash: md`, is valid, and yet stops DVC
        return None
    try:
        return list(Lockfile.validate(parse_yaml(text.decode(), "dvc.lock")).get("stages", {}))
    except (DvcException, UnicodeDecodeError):
        return None
