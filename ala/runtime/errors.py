"""The one exception a user is meant to read, and the way a command shows it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something the user can put right: one sentence with the file, the value and the remedy.

    Stages print it without a traceback and leave with exit code 2 (:func:`reported`).
    """


@contextmanager
def reported() -> Iterator[None]:
    """Turn a :class:`UserError` into its message on stderr and exit code 2; every other exception passes.

    What the block cost is recorded where DVC runs it (:mod:`ala.runtime.ledger`).
    """
    from ala.runtime.ledger import recorded

    try:
        with recorded():
            yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
