"""Define the exception for errors that a user can mend, and print it at the entry of every command."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Errors of the operating system whose cause lies outside the program, with the remedy.
_OUTSIDE = {
    errno.ENOSPC: "free space on that disk, or write to another one",
    errno.EDQUOT: "free space on that disk, or write to another one",
    errno.EFBIG: "raise the limit on the size of files, or write to another disk",
    errno.EACCES: "change its permissions, or name another place",
    errno.EPERM: "change its permissions, or name another place",
    errno.EROFS: "name a place that can be written to",
    errno.ENOTDIR: "name another place",
    errno.EEXIST: "remove what is in the way, or name another place",
    errno.EISDIR: "remove the folder, or name another place",
    errno.EIO: "check the disk and its connection",
    errno.EMFILE: "raise the limit on open files (`ulimit -n`)",
    errno.ENAMETOOLONG: "shorten the name",
    errno.ELOOP: "remove the link",
}


class UserError(Exception):
    """An error that the user can mend: one sentence with the file, the value and the remedy.

    Stages print it without a traceback and leave with exit code 2 (:func:`reported`). Names and values in it may come
    from foreign files, so line breaks and whatever a terminal takes for a command are shown as escapes.

    Args:
        sentence: what is wrong.
        details: a line each, where several things are.
    """

    def __init__(self, sentence: str, *details: str) -> None:
        super().__init__(sentence, *details)

    def __str__(self) -> str:
        return "\n  ".join("".join(map(_shown, line)) for line in self.args)


def reason(error: BaseException) -> str:
    """Shorten a library's message for `error` to its first sentence, at most 160 characters."""
    return " ".join(str(error).split()).split(". ")[0][:160] or type(error).__name__


def _shown(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


@contextmanager
def reported() -> Iterator[None]:
    """Turn a :class:`UserError` into its message on stderr and exit code 2; so, too, what the operating system refuses
    (a full disk, a folder that must not be written to); every other exception passes.

    This is the entry of every command, and the one place where a command tunes its own process
    (:mod:`ala.utils.process`).

    Ctrl-C and SIGTERM end the block with a sentence how to go on and exit code 130: finished shards and epochs are on
    the disk. What the block cost is recorded where DVC runs it (:mod:`ala.utils.ledger`).
    """
    from ala.utils.ledger import recorded
    from ala.utils.process import tuned

    try:
        with tuned(), recorded():
            yield
    except KeyboardInterrupt:
        print("stopped; run the same command to go on from what was kept", file=sys.stderr)
        raise SystemExit(130) from None
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in _OUTSIDE:
            raise
        place = error.filename2 or error.filename or "a file"
        print(f"error: {place}: {error.strerror}; {_OUTSIDE[error.errno]}", file=sys.stderr)
        raise SystemExit(2) from None
