"""Save finished units of long work on disk, so that a killed run resumes from them.

A unit is a shard of images. Units live in `state/resume/<name>-<digest>/`, where DVC does not look. The digest is that
of :mod:`ala.utils.checkpoint`, so a run that differs in anything that decides never finds another run's units.

Each unit is one file: the sha256 of the rest, a line feed, the rest. It is written beside its place, flushed to the
disk and renamed, so it is complete or absent; a damaged one counts as absent.

Inside DVC a stage is done when `dvc.lock` says so, which is after its command has ended. A kill in between makes DVC
run the command again, so :meth:`Resumable.finish` then only marks the units; they go when a later command of the
pipeline finds that the lock was written after the mark (:func:`sweep`).
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import numpy as np

from ala.utils import interrupt
from ala.utils.checkpoint import digest, file_name, state_folder
from ala.utils.errors import UserError

_FINISHED = "finished"
_PATIENCE = 5.0  # seconds of work that may be lost; saving costs some milliseconds


class Resumable:
    """The finished units of one piece of work, stored below `state/resume/` until the work succeeds.

    Attributes:
        name: of the work, such as `train/abn/seed-0`.
        folder: where its units are.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self._patience = _keep_seconds()
        self._kept_at = time.monotonic()
        self._open = True
        interrupt.begin()

    @classmethod
    def open(
        cls,
        name: str,
        settings: Mapping[str, Any],
        inputs: Iterable[Path] = (),
        code: Iterable[ModuleType | str] = (),
        root: Path | None = None,
    ) -> Resumable:
        """Open the units of this work that earlier runs saved; none, if anything that they depend on differs.

        Args:
            name: of the work, unique among works of one project; `/` is allowed.
            settings: everything that the units depend on and is neither file nor code; it must be JSON-serialisable.
            inputs: files and folders whose bytes the units depend on; a missing one counts as missing.
            code: modules or their names; of a package all its files.
            root: the folder of the state; without it `$ALA_STATE`, and without that `state`.
        """
        root = root or state_folder()
        sweep(root)
        folder = root / "resume" / f"{file_name(name)}-{digest(settings, inputs, code)}"
        (folder / _FINISHED).unlink(missing_ok=True)
        return cls(name, folder)

    def arrays(self, unit: str) -> dict[str, np.ndarray] | None:
        """Load the arrays saved as `unit`, or None. A damaged file counts as absent and is logged."""
        content = self._read(unit)
        if content is None:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def keep_arrays(self, unit: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Save arrays (of no object type) as `unit`, replacing it.

        Raises:
            UserError: the file cannot be written.
        """
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        self._write(unit, buffer.getvalue())

    def forget(self, unit: str) -> None:
        """Remove `unit`, if it is there."""
        self._path(unit).unlink(missing_ok=True)

    def due(self) -> bool:
        """Whether a unit that was just finished should be saved now.

        True if a signal to stop has arrived, or if the last save was `$ALA_KEEP_SECONDS` (5) ago: short units are not
        worth a file each.
        """
        return interrupt.requested() or time.monotonic() - self._kept_at >= self._patience

    def mark(self, unit: str) -> None:
        """Log that `unit` was computed, as a line of the file `$ALA_UNIT_LOG`; without it do nothing.

        Tests that kill runs count there which units were computed twice.
        """
        log = os.environ.get("ALA_UNIT_LOG")
        if log:
            with Path(log).open("a", encoding="utf-8") as file:
                file.write(f"{self.name}\t{unit}\n")

    def finish(self) -> None:
        """Remove the units once the work's outputs are in place (inside DVC: mark them, see above).

        Raises:
            Stopped: a signal to stop has arrived; the units stay, so that the next run makes the outputs at once.
        """
        interrupt.checkpoint(f"{self.name}: all units")
        if self._open:
            self._open = False
            interrupt.end()
        if not self.folder.exists():
            return
        if os.environ.get("DVC_STAGE"):
            (self.folder / _FINISHED).touch()
        else:
            _remove(self.folder)

    def discard(self) -> None:
        """Remove the units of work that cannot succeed; no later run would use them."""
        if self._open:
            self._open = False
            interrupt.end()
        if self.folder.exists():
            _remove(self.folder)

    def _path(self, unit: str) -> Path:
        return self.folder / f"{quote(unit, safe='')}.unit"

    def _read(self, unit: str) -> bytes | None:
        path = self._path(unit)
        try:
            head, _, content = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        if hashlib.sha256(content).hexdigest().encode() != head:
            print(f"note: {path} is damaged, what it held is made again", file=sys.stderr)
            return None
        return content

    def _write(self, unit: str, content: bytes) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=".", suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path(unit))
            finally:
                Path(name).unlink(missing_ok=True)
            _sync(self.folder)
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot keep {len(content):,} bytes of resume state ({error.strerror}); make room, or"
                " name another folder by ALA_STATE"
            ) from None
        self._kept_at = time.monotonic()


def units(root: Path) -> Iterator[Path]:
    """List the folders of unfinished work below `root`, as :meth:`Resumable.open` names them, and no others."""
    for folder in sorted((root / "resume").glob("*")):
        if folder.is_dir() and re.fullmatch(r".+-[0-9a-f]{16}", folder.name):
            yield folder


def stamps(folder: Path) -> dict[str, list[int]]:
    """Return size and time of change of every file below `folder`, used instead of bytes where those are gigabytes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    found = ((path.relative_to(folder).as_posix(), path.stat()) for path in files)
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in found}


def sweep(root: Path) -> None:
    """Remove the units of finished work below `root` whose stage DVC has since recorded in `dvc.lock`."""
    lock = Path(os.environ.get("DVC_ROOT", "")) / "dvc.lock"
    for mark in [mark for folder in units(root) if (mark := folder / _FINISHED).exists()]:
        try:
            entered = lock.stat().st_mtime_ns > mark.stat().st_mtime_ns
        except FileNotFoundError:  # no lock yet, or another process was quicker
            continue
        if entered:
            _remove(mark.parent)


def _remove(folder: Path) -> None:
    """Remove `folder` so that no run can find half of it."""
    gone = folder.with_name(f".gone-{os.getpid()}-{folder.name}")
    try:
        folder.rename(gone)
    except FileNotFoundError:  # another process was quicker
        return
    shutil.rmtree(gone)


def _sync(folder: Path) -> None:
    """Flush the entries of `folder` to the disk, where the system lets one open folders."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _keep_seconds() -> float:
    text = os.environ.get("ALA_KEEP_SECONDS", str(_PATIENCE))
    try:
        return float(text)
    except ValueError:
        raise UserError(f"ALA_KEEP_SECONDS is {text!r}; it must be a number of seconds") from None
