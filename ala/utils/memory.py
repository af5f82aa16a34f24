"""Configure how the C library handles freed memory."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of the settings in glibc's malloc.h
_NEVER = 2**31 - 1


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
