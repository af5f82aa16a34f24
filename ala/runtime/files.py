"""Files and folders that are whole or absent: write beside the target, flush to disk, rename.

Who opens a file by its path while it, or a folder above it, is being replaced finds the old one or the new one, whole.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import shutil
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

#: What NumPy, zipfile and JSON raise on foreign or damaged bytes, as far as tests/fuzz has met it.
UNREADABLE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; it becomes `target` when the block ends well, else it goes.

    The temporary name keeps the target's suffix, because some writers choose their format by it.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp gives 0600, which would end up in caches that others read
        temporary.replace(target)
    except OSError as error:
        raise _named(error, target)  # noqa: B904 - the same error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; it replaces `target` when the block ends well, else it goes."""
    target = Path(target)
    _restore(target)
    with scratch_folder(target.parent, f".{target.name}-") as temporary:
        try:
            yield temporary
            temporary.chmod(0o755)
            for path in temporary.rglob("*"):  # some writers give 0600, which would end up in caches that others read
                path.chmod(0o755 if path.is_dir() else 0o644)
            put_in_place(temporary, target)
        except OSError as error:
            raise _named(error, target)  # noqa: B904 - the same error


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder in `parent`, which goes when the block ends; what killed runs left there goes, too.

    A run holds a lock on its folder, which the system releases however the run ends. What is not locked is nobody's.

    Args:
        parent: made if it does not exist.
        prefix: of the folder's name, such as `.tables-`; other folders with it are scratch folders of the same kind.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{prefix}*"):
        handle = _locked(left)
        if handle is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(handle)
    handle = None
    while handle is None:  # another run may take the folder for an abandoned one before it is locked
        made = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        handle = _locked(made)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(handle)


def _locked(folder: Path) -> int | None:
    """A handle that holds the lock on `folder`, or None if another run does or the folder is gone."""
    import fcntl

    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), folder.stat()):  # not removed, and its name given to another one
            return handle
    os.close(handle)
    return None


def put_in_place(fresh: Path, target: Path) -> None:
    """`fresh`, a file or folder on the same disk, becomes `target`. What `target` was goes, or is left as `fresh`.

    Files are replaced by a rename, folders by an exchange of the two names, so there is no moment without `target`.
    Where the file system cannot exchange names, the old folder is `.NAME.old` for a moment; a run killed in that
    moment leaves it there, and the next :func:`atomic_folder` puts it back before it begins.
    """
    if not (target.is_dir() and fresh.is_dir()):
        fresh.replace(target)
    elif not _exchange(fresh, target):
        _restore(target)
        aside = _aside(target)
        shutil.move(target, aside)  # a rename; a copy where a container's image holds the folder
        fresh.rename(target)
        shutil.rmtree(aside)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _restore(target: Path) -> None:
    """Undo what a kill between the two renames of :func:`put_in_place` left."""
    aside = _aside(target)
    if aside.is_dir() and target.exists():
        shutil.rmtree(aside)
    elif aside.is_dir():
        aside.rename(target)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where that is not possible (Python has no call for it, Linux has)."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if renameat2 is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV):  # file systems, old kernels, containers
        return False
    raise OSError(code, os.strerror(code), str(other))


def _named(error: OSError, target: Path) -> OSError:
    """The error with a file's name: writing to an open file, as on a full disk, does not tell which one it was."""
    if error.errno is not None and error.filename is None:
        error.filename = str(target)
    return error


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys and a final newline, atomically."""
    write_text(target, json.dumps(value, indent=2, sort_keys=True) + "\n")


def stamped_sha256(path: Path) -> str:
    """:func:`sha256`, computed once in a process while the file's size and time of change stay."""
    found = Path(path).stat()
    return _stamped(Path(path).absolute(), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4096)
def _stamped(path: Path, size: int, changed: int) -> str:
    return sha256(path)


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
