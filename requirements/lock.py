"""Write lock.txt, cuda.txt, oracles.txt, peers.txt and audit.txt: `make lock` (needs `uv`, which the lock contains)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CUDA = re.compile(r"^(nvidia-|cuda-|triton)")
HEAD = "# Written by `make lock`; do not edit.\n"


def compile_lock(*sources: str) -> list[str]:
    """Every package with its hashes, for all platforms, as uv resolves `sources`, one entry each."""
    command = [
        "uv", "pip", "compile", *sources, "--universal", "--python-version", "3.11", "--generate-hashes",
        "--no-emit-index-url", "--no-header", "--no-annotate", "--quiet",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=HERE.parent, check=True, capture_output=True, text=True)
    return [entry for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", done.stdout) if entry.strip()]


def name_of(entry: str) -> str:
    """The package of an entry."""
    return re.split(r"[=\[ ]", entry, maxsplit=1)[0]


def main() -> None:
    """Packages for everyone, CUDA libraries, what the oracles need beside them, and what is timed beside ours."""
    entries = compile_lock("pyproject.toml", "--extra", "dev", "--constraints", "requirements/constraints.txt")
    (HERE / "lock.txt").write_text(HEAD + "".join(entry for entry in entries if not CUDA.match(entry)))
    (HERE / "cuda.txt").write_text(HEAD + "".join(entry for entry in entries if CUDA.match(entry)))
    locked = {name_of(entry) for entry in entries}
    # xaitk-saliency asks for NumPy below 2 on Python 3.11 only, where it runs with ours all the same: hence overrides.
    more = compile_lock("requirements/oracles.in", "--overrides", "requirements/lock.txt")
    (HERE / "oracles.txt").write_text(HEAD + "".join(entry for entry in more if name_of(entry) not in locked))
    # Of the peers themselves alone: the parts that are timed import nothing that the lock lacks.
    peers = (HERE / "peers.in").read_text().split("\n")
    timed = compile_lock("requirements/peers.in", "--overrides", "requirements/lock.txt")
    (HERE / "peers.txt").write_text(HEAD + "".join(entry for entry in timed if name_of(entry) in peers))
    audit()


def audit() -> None:
    """What `make audit` needs, complete in itself: it has an environment of its own."""
    (HERE / "audit.txt").write_text(HEAD + "".join(compile_lock("requirements/audit.in")))


if __name__ == "__main__":
    main()
