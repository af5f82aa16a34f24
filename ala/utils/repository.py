"""Check before a run that DVC can use Git here, which it needs only at the end, to stage `dvc.lock`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ala.utils.errors import UserError, reason


def check(folder: Path) -> None:
    """Check that Git can use the repository of `folder`.

    Raises:
        UserError: Git is not installed, the folder is no working tree, or it belongs to another user.
    """
    if shutil.which("git") is None:
        raise UserError("git is not installed, and DVC needs it; install it (Debian: apt-get install git)")
    place = folder.resolve()
    done = subprocess.run(
        ["git", "rev-parse", "--is-inside-work-tree"], cwd=folder, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode == 0:
        return
    if "dubious ownership" in done.stderr:
        raise UserError(
            f"{place} belongs to another user, so Git and DVC refuse to use it; if you trust it, run `git config"
            f" --global --add safe.directory {place}`"
        )
    if "not a git repository" in done.stderr:
        raise UserError(
            f"{place / '.git'} does not exist, and DVC needs a Git repository; run `git init && git add -A"
            " && git commit -m 'Start'` there"
        )
    raise UserError(f"Git cannot use {place} ({reason(RuntimeError(done.stderr))}); mend the repository")
