"""One writer at a time for each output: a second run of the same stage says who writes there, and waits.

DVC keeps its own runs apart and knows nothing of stages that are run directly. A lock belongs to a folder, not to a
stage, so that other seeds go on side by side. The system holds it and releases it however the run ends; what stands in
the lock file, below `state/locks/`, only tells others whom they wait for.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ala.runtime.errors import UserError
from ala.runtime.resume import state_folder


@contextmanager
def held(outs: Iterable[Path]) -> Iterator[None]:
    """Be the only run that writes `outs` while the block runs; wait, and say for whom, where another one does.

    Args:
        outs: files or folders, which need not exist. All runs take them in the same order, so none waits in a circle.

    Raises:
        UserError: the lock cannot be made.
    """
    with ExitStack() as stack:
        for file, out in sorted((_file(out), out) for out in outs):
            stack.enter_context(_acquired(file, out))
        yield


def _file(out: Path) -> Path:
    """The lock file of `out`, however its path is written."""
    whole = out.resolve()
    name = re.sub(r"[^A-Za-z0-9_.@-]", "-", "-".join(whole.parts[-3:]))
    return state_folder() / "locks" / f"{name}-{hashlib.sha256(os.fsencode(whole)).hexdigest()[:12]}.lock"


def _acquired(file: Path, out: Path) -> FileLock:
    lock = FileLock(file, preserve_lock_file=True, on_acquired=_sign, poll_interval=0.1)
    told: str | None = None
    while True:
        try:
            lock.acquire(timeout=0 if told is None else 1)
            return lock
        except Timeout:
            holder = _holder(file)
            if holder != told:
                print(f"{out} is being written by {holder}; waiting for its end (Ctrl-C gives up)", file=sys.stderr)
            told = holder
        except OSError as error:
            raise UserError(f"{file} cannot be locked ({error.strerror}); name another folder by ALA_STATE") from None


def _sign(handle: int) -> None:
    """Write who holds the lock into its file."""
    command = textwrap.shorten(shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]]), 200)
    began = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    entry = json.dumps({"pid": os.getpid(), "command": command, "since": began}).encode() + b"\n"
    os.ftruncate(handle, 0)
    os.pwrite(handle, entry, 0)


def _holder(file: Path) -> str:
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
        return f"process {entry['pid']} (`{entry['command']}`, since {entry['since']})"
    except (OSError, ValueError, KeyError, TypeError):  # it is just being written
        return "another process"
