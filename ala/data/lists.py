"""CUB's text files: one `id value` record per line."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ala.utils.errors import UserError

_ID = re.compile(r"[0-9]{1,18}", re.ASCII)  # fits int64


def read_list(path: Path, value: str) -> dict[int, str]:
    """Read a list of CUB-200-2011 (METHODS 1.2) as `{id: value}`, in the order of the file.

    The value is everything behind the first space, so file names may contain spaces. A byte order mark, CRLF line
    ends, empty lines and a missing final newline are tolerated.

    Args:
        path: the text file.
        value: what a line holds behind the id, for messages.

    Raises:
        UserError: the file is missing, not UTF-8 or empty, a line is no `id value`, or an id stands twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{path} does not exist; copy the data set again, a CUB-200-2011 layout needs this list"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8 or copy it again") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the file and its permissions") from None
    found: dict[int, str] = {}
    # Only "\n" ends a record: str.splitlines would also cut names at rarer separators such as U+2028.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        key, _, rest = line.partition(" ")
        if not _ID.fullmatch(key) or not rest:
            raise UserError(f"{path} line {number} is {line[:80]!r}, expected `id {value}`; correct the line")
        if int(key) in found:
            raise UserError(f"{path} line {number} names id {int(key)} a second time; remove one of its lines")
        found[int(key)] = rest
    if not found:
        raise UserError(f"{path} holds no records, expected lines `id {value}`; copy the file again")
    return found


def integers(path: Path, values: dict[int, str]) -> dict[int, int]:
    """The values of a list as non-negative integers.

    Raises:
        UserError: a value is something else.
    """
    for key, text in values.items():
        if not _ID.fullmatch(text.strip()):
            raise UserError(f"{path} gives id {key} the value {text!r}, expected an integer; correct the line")
    return {key: int(text) for key, text in values.items()}


def leave_out(path: Path, ids: Collection[int]) -> None:
    """Write a list again without the lines of `ids`; all others stay as they are.

    A list that holds none of them is not touched.
    """
    lines = path.read_bytes().decode("utf-8-sig").split("\n")
    kept = [line for line in lines if not (_ID.fullmatch(key := line.partition(" ")[0]) and int(key) in ids)]
    if len(kept) < len(lines):
        path.write_bytes("\n".join(kept).encode())
