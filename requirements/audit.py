"""Look the locked packages up in the database of known vulnerabilities: `make audit` (needs the network).

A finding that does not concern this project is explained in audit-ignore.txt; any other ends the audit with exit code
1, as does a package that the database does not know, because nothing is then known of it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LOCKS = ("lock.txt", "cuda.txt")


def explained(text: str) -> dict[str, str]:
    """The findings that audit-ignore.txt explains, by id.

    Raises:
        SystemExit: an id has no reason.
    """
    lines = [line for line in map(str.strip, text.split("\n")) if line and not line.startswith("#")]
    reasons = {key: reason.strip() for key, _, reason in (line.partition(" ") for line in lines)}
    bare = [key for key, reason in reasons.items() if not reason]
    if bare:
        raise SystemExit(f"error: audit-ignore.txt gives no reason for {bare[0]}; write it behind the id")
    return reasons


def main() -> int:
    """Run pip-audit over the locks as they are: nothing is resolved, installed or run."""
    command = [sys.executable, "-m", "pip_audit", "--strict", "--disable-pip", "--require-hashes"]
    command += ["--desc", "on", "--progress-spinner", "off"]
    for name in LOCKS:
        command += ["--requirement", str(HERE / name)]
    for key, reason in explained((HERE / "audit-ignore.txt").read_text(encoding="utf-8")).items():
        print(f"ignored: {key}: {reason}")
        command += ["--ignore-vuln", key]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
