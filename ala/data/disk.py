"""Room on the disk, asked for before the first byte is written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ala.runtime.errors import UserError


def need_room(folder: Path, size: int, what: str) -> None:
    """Check that `size` bytes are free where `folder` is, or will be.

    Raises:
        UserError: they are not.
    """
    existing = Path(folder).absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < size:
        raise UserError(f"{folder} has {free:,} bytes free, {what} needs {size:,}; free some space or use another disk")


def reserve(file: Path) -> None:
    """Claim the disk blocks of a sparse `file`, where the system can.

    Writing to a mapped file whose blocks do not exist yet ends the process (SIGBUS) when the disk is full; this asks
    for them beforehand, so that the failure is an error one can read.

    Raises:
        UserError: the disk is full.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    size = file.stat().st_size
    try:
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, size)
    except OSError as error:
        raise UserError(f"{file} cannot get its {size:,} bytes ({error.strerror}); free space on the disk") from None
