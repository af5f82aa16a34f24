"""Freed memory stays with the process once it was asked to keep it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import sys
from pathlib import Path
from ala.utils.memory import keep_freed_memory

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if "keep" in sys.argv:
    keep_freed_memory()
before = resident()
block = bytearray(b"x") * (64 * 2**20)
del block
print(resident() - before)
"""


def kept(*arguments: str) -> int:
    """Bytes that a process still holds after it has freed a block of 64 MiB."""
    command = [sys.executable, "-c", CODE, *arguments]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to keep freed memory")
def test_a_freed_block_stays_only_if_asked():
    assert kept() < 16 * 2**20
    assert kept("keep") > 48 * 2**20
