"""Handle Ctrl-C and SIGTERM: the first signal lets the current unit of work finish, the second stops at once.

Work that saves finished units (:mod:`ala.utils.resume`) calls :func:`checkpoint` after each one. While no such work
is running, the first signal also stops at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_requested = False
_working = 0  # pieces of work that save units, begun and not yet ended


class Stopped(KeyboardInterrupt):
    """Raised when a signal stopped the run after everything so far was saved; its text says how far the run came."""


@contextmanager
def graceful() -> Iterator[None]:
    """Handle SIGINT and SIGTERM as the module describes while the block runs (in the main thread; else do nothing)."""
    global _requested, _working
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _requested, _working = False, 0
    owner = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        global _requested
        if os.getpid() != owner:  # a forked worker: it must end as if there were no such handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif _requested or not _working:
            raise KeyboardInterrupt
        else:
            _requested = True  # os.write, since a handler may have interrupted a print
            os.write(2, b"\nstopping after the present unit of work; once more stops at once\n")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _requested, _working = False, 0  # the signal was meant for this block, not for what follows it


def begin() -> None:
    """Register the start of work that calls :func:`checkpoint`: until its end, a signal waits for its next unit."""
    global _working
    _working += 1


def end() -> None:
    """Register the end of the work: a signal stops at once again if no other such work is running."""
    global _working
    _working = max(0, _working - 1)


def requested() -> bool:
    """Whether a signal to stop has arrived."""
    return _requested


def checkpoint(done: str) -> None:
    """Stop here if a signal has arrived; the caller has saved everything so far.

    Args:
        done: how far the work has come, such as `train abn seed 0: epoch 7 of 40`.

    Raises:
        Stopped: a signal came before.
    """
    if _requested:
        raise Stopped(done)
