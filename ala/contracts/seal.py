"""Write and check the checksums of a folder, so that results edited by hand are refused."""

from __future__ import annotations

from pathlib import Path

from ala.utils.errors import UserError
from ala.utils.files import sha256, write_text

SEAL = "SHA256SUMS"  # the format of `sha256sum`, so `sha256sum -c` checks it, too


def seal(folder: Path) -> None:
    """Write the sha256 of every file in `folder` into its :data:`SEAL`; the last thing a stage does there."""
    files = sorted(path for path in Path(folder).iterdir() if path.is_file() and path.name != SEAL)
    write_text(Path(folder) / SEAL, "".join(f"{sha256(path)}  {path.name}\n" for path in files))


def check(folder: Path, command: str) -> None:
    """Check that the files in `folder` match its checksums (seal).

    Args:
        folder: written by :func:`seal`.
        command: what makes the folder again, for the message.

    Raises:
        UserError: there is no seal, or a file was changed, removed or added.
    """
    path = Path(folder) / SEAL
    if not path.is_file():
        raise UserError(f"{path} does not exist, so nobody knows whether the scores are whole; run `{command}`")
    sealed = {}
    try:
        lines = path.read_bytes().decode().split("\n")  # as written; splitlines would also cut names
    except UnicodeDecodeError:
        raise UserError(f"{path} is no list of checksums (not UTF-8); run `{command}`") from None
    for line in filter(None, lines):
        digest, _, name = line.partition("  ")
        sealed[name] = digest
    present = {file.name for file in Path(folder).iterdir() if file.is_file() and file.name != SEAL}
    for name in sorted(present | sealed.keys()):
        if name not in present:
            raise UserError(f"{folder / name} is gone; run `{command}`")
        if name not in sealed:
            raise UserError(f"{folder / name} was added by hand, {path} does not know it; remove it or run `{command}`")
        if sha256(folder / name) != sealed[name]:
            raise UserError(
                f"{folder / name} was changed after it was written ({path}); run `{command}` to make it again"
            )
