"""Replace files and folders atomically: write beside the target, flush to disk, rename.

A file is replaced in one step, a folder by two renames, between which it is absent. When two processes replace the same
folder, the complete folder of one of them remains. No locks are used or needed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

#: What NumPy, zipfile and JSON raise on foreign or damaged bytes, as far as tests/fuzz has met it.
UNREADABLE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip

#: Identifies this machine, among others that write to the same disk, in the names of scratch folders.
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; it replaces `target` when the block succeeds, else it is removed.

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
    """Yield a temporary folder beside `target`; it replaces `target` when the block succeeds, else it is removed."""
    target = Path(target)
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
    """Yield a new folder in `parent`, removed when the block ends, and remove what killed processes left there.

    Its name holds the machine and the process. A folder is removed where its process no longer lives on this machine;
    those of other machines stay.

    Args:
        parent: made if it does not exist.
        prefix: of the folder's name, such as `.tables-`.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for folder in parent.glob(f"{prefix}{_HOST}-*"):
        process = re.fullmatch(r"(\d+)-\w+", folder.name.removeprefix(f"{prefix}{_HOST}-"))
        if process and not _lives(int(process[1])):
            shutil.rmtree(folder, ignore_errors=True)
    made = Path(tempfile.mkdtemp(dir=parent, prefix=f"{prefix}{_HOST}-{os.getpid()}-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)  # sends no signal
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def put_in_place(fresh: Path, target: Path) -> None:
    """Move `fresh`, a file or folder on the same disk, to `target`, and remove the old `target`.

    A file is replaced by one rename. A folder is first moved aside: until `fresh` has its name, `target` is absent, and
    stays so if the process is killed in that moment. If another process does the same, the last one's folder stays.
    """
    if not fresh.is_dir():
        fresh.replace(target)
        return
    with scratch_folder(target.parent, f".{target.name}-") as aside:
        for number in count():
            try:
                fresh.rename(target)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) and not target.is_symlink():
                    raise
            try:
                target.rename(aside / str(number))
            except FileNotFoundError:  # another process was quicker
                continue
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                shutil.move(target, aside / str(number))  # a copy: a container's image holds the folder


def _named(error: OSError, target: Path) -> OSError:
    """Add the file's name to an error: writing to an open file, as on a full disk, does not report it."""
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
