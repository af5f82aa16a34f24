"""Look the locked packages up in the database of known vulnerabilities: `make audit` (needs the network).

A finding that does not concern this project is explained in audit-ignore.txt; any other ends the audit with exit code
1, as does a package that the database does not know, because nothing is then known of it. (An OSV service, which
pip-audit asks instead where PIP_AUDIT_VULNERABILITY_SERVICE=osv, answers for unknown packages as for clean ones.)
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LOCKS = ("lock.txt", "cuda.txt")
_ENTRY = re.compile(r"([A-Za-z0-9._-]+)==([^\s;]+)(?: ; [^#]+?)?((?:\s+--hash=\S+)+)\s*")


def explained(text: str) -> dict[str, str]:
    """The findings that audit-ignore.txt explains, by id. A line may begin with several ids of one finding, `A,B,C`.

    Raises:
        SystemExit: an id has no reason.
    """
    lines = [line for line in map(str.strip, text.split("\n")) if line and not line.startswith("#")]
    pairs = [(keys.split(","), reason.strip()) for keys, _, reason in (line.partition(" ") for line in lines)]
    reasons = {key: reason for keys, reason in pairs for key in keys if key}
    bare = [key for key, reason in reasons.items() if not reason]
    if bare:
        raise SystemExit(f"error: audit-ignore.txt gives no reason for {bare[0]}; write it behind the id")
    return reasons


def unconditional(locks: str) -> list[dict[str, str]]:
    """Every entry of the locks, whatever Python and system it is for: requirements by package, without conditions.

    pip-audit leaves out what is not for the Python that runs it, and refuses two versions of a package at once. So the
    conditions go, and the second version of a package goes into a second list.

    Raises:
        SystemExit: an entry is not a package pinned with hashes.
    """
    lists: list[dict[str, str]] = [{}]
    for entry in re.sub(r"(?m)^#.*\n", "", locks.replace("\\\n", " ")).splitlines():
        found = _ENTRY.fullmatch(entry)
        if found is None:
            raise SystemExit(f"error: not a package pinned with hashes: {entry[:80]}; write the lock with `make lock`")
        name, version, hashes = found.groups()
        requirement = f"{name}=={version} {' '.join(hashes.split())}"
        if all(known.get(name) != requirement for known in lists):
            if all(name in known for known in lists):
                lists.append({})
            next(known for known in lists if name not in known)[name] = requirement
    return lists


def main() -> int:
    """Run pip-audit over all that the locks name: nothing is resolved, installed or run."""
    command = [sys.executable, "-m", "pip_audit", "--strict", "--disable-pip", "--require-hashes"]
    command += ["--desc", "on", "--progress-spinner", "off"]
    reasons = explained((HERE / "audit-ignore.txt").read_text(encoding="utf-8"))
    for key in reasons:
        command += ["--ignore-vuln", key]
    for reason in dict.fromkeys(reasons.values()):
        print(f"explained: {', '.join(key for key in reasons if reasons[key] == reason)}: {reason}")
    codes = []
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        for packages in unconditional("".join((HERE / name).read_text(encoding="utf-8") for name in LOCKS)):
            listed.write_text("\n".join(packages.values()) + "\n", encoding="utf-8")
            print(f"looked up: {len(packages)} packages", flush=True)
            codes.append(subprocess.run([*command, "--requirement", str(listed)], check=False).returncode)
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
