"""Check and reserve disk space before the first byte is written.

Writing to a mapped file whose blocks do not exist yet ends the process (SIGBUS) when the disk is full. So the blocks of
such files are reserved beforehand, and a failure is a readable error.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

from ala.utils.errors import UserError

_ELSEWHERE = "set TMPDIR to a folder on a larger disk"


def need_room(folder: Path, size: int, what: str, remedy: str = "free some space or use another disk") -> None:
    """Check that `size` bytes are free where `folder` is, or will be.

    Raises:
        UserError: they are not.
    """
    existing = Path(folder).absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < size:
        raise UserError(f"{folder} has {free:,} bytes free, {what} needs {size:,}; {remedy}")


def reserve(file: Path) -> None:
    """Reserve the disk blocks of a sparse `file`, where the system can.

    Raises:
        UserError: the disk is full.
    """
    size = file.stat().st_size
    try:
        with file.open("r+b") as opened:
            _claim(opened.fileno(), size)
    except OSError as error:
        raise UserError(f"{file} cannot get its {size:,} bytes ({error.strerror}); free space on the disk") from None


def temporary_file(size: int, what: str) -> IO[bytes]:
    """Create an unnamed file of `size` reserved bytes where `tempfile` puts files; it is removed when it is closed.

    Args:
        size: above 0.
        what: what the file is for, for the message.

    Raises:
        UserError: that disk has no room for it, or no folder for temporary files can be written to.
    """
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        raise UserError(
            f"{what} needs a folder for temporary files, and none can be written to; {_ELSEWHERE}"
        ) from None
    need_room(Path(folder), size, what, _ELSEWHERE)
    try:
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the caller's
        try:
            file.truncate(size)
            _claim(file.fileno(), size)
        except OSError:
            file.close()
            raise
    except OSError as error:
        raise UserError(
            f"{folder} refuses the {size:,} bytes that {what} needs ({error.strerror}); {_ELSEWHERE}"
        ) from None
    return file


def _claim(handle: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
