"""Ctrl-C and SIGTERM: the first lets the present unit of work finish, the second stops at once.

Work that keeps finished units (:mod:`ala.runtime.resume`) calls :func:`checkpoint` after each one. Where no such work
goes on there is nothing to wait for, and the first signal stops at once, too.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_requested = False
_working = 0  # pieces of work that keep units, begun and not yet ended


class Stopped(KeyboardInterrupt):
    """The run was asked to stop and everything up to here is kept; its text tells how far it came."""


@contextmanager
def graceful() -> Iterator[None]:
    """Handle SIGINT and SIGTERM as this module says while the block runs (in the main thread; else do nothing)."""
    global _requested, _working
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _requested, _working = False, 0
    owner = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        global _requested
        if os.getpid() != owner:  # a forked worker: it must die as if this handler had never been
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
        _requested, _working = False, 0  # it was this block that was asked to stop, not what comes after it


def begin() -> None:
    """Work that calls :func:`checkpoint` begins: from now on a signal waits for it."""
    global _working
    _working += 1


def end() -> None:
    """The work is over: without other such work a signal stops at once again."""
    global _working
    _working = max(0, _working - 1)


def requested() -> bool:
    """Whether a signal has asked this run to stop."""
    return _requested


def checkpoint(done: str) -> None:
    """Everything so far is kept: stop here if a signal has asked for it.

    Args:
        done: how far the work came, such as `train abn seed 0: epoch 7 of 40`.

    Raises:
        Stopped: a signal came before.
    """
    if _requested:
        raise Stopped(done)
