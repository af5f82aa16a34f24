"""Write lock.txt and cuda.txt from pyproject.toml: `make lock` (needs `uv`, which the lock itself contains)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CUDA = re.compile(r"^(nvidia-|cuda-|triton)")
HEAD = "# Written by `make lock`; do not edit.\n"


def compile_lock() -> str:
    """Every package with its hashes, for all platforms, as uv resolves pyproject.toml under constraints.txt."""
    command = [
        "uv", "pip", "compile", "pyproject.toml", "--extra", "dev", "--constraints", "requirements/constraints.txt",
        "--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header",
        "--no-annotate", "--quiet",
    ]  # fmt: skip
    return subprocess.run(command, cwd=HERE.parent, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Split uv's answer into packages for everyone and CUDA libraries."""
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", compile_lock())
    (HERE / "lock.txt").write_text(HEAD + "".join(entry for entry in entries if not CUDA.match(entry)))
    (HERE / "cuda.txt").write_text(HEAD + "".join(entry for entry in entries if CUDA.match(entry)))


if __name__ == "__main__":
    main()
