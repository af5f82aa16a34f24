"""Tune the process of a command: the one place where a program of ours (a stage, `ala`, a benchmark) does so.

Importing `ala` changes nothing in a process. A program keeps freed memory (:func:`keep_freed_memory`) and ends by
SIGTERM as by Ctrl-C. The number of threads stays what torch and `OMP_NUM_THREADS` make it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of the settings in glibc's malloc.h
_NEVER = 2**31 - 1


@contextmanager
def tuned() -> Iterator[None]:
    """Run the block of a program: freed memory stays with the process, SIGTERM raises KeyboardInterrupt."""
    keep_freed_memory()
    if threading.current_thread() is not threading.main_thread():  # there Python takes no handlers
        yield
        return
    owner = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)  # a forked worker ends as if there were no such handler
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def keep_freed_memory() -> None:
    """Make this process keep freed memory for reuse by later tensors.

    glibc takes every block above some megabytes from the kernel and gives it back when it is freed, so that each
    activation of each forward pass is paged in again: a third of the time of a forward pass on the miniature. Torch
    keeps a cache of its own for GPUs, but none for the CPU. Other C libraries are left as they are.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER)
