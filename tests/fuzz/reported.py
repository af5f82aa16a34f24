"""The property of everything that reads foreign bytes: it works, or tells the user in one sentence what is wrong."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from hypothesis import settings

from ala.utils.errors import UserError

T = TypeVar("T")
#: For properties that take tens of milliseconds an example.
fewer = settings(max_examples=settings().max_examples // 4)
_PATIENCE = 20  # seconds for one small input


class Hang(BaseException):
    """No `Exception`, so that nothing under test catches it."""


@contextmanager
def bounded() -> Iterator[None]:
    """Stop a block that goes on for more than 20 seconds."""

    def stop(*_: object) -> None:
        raise Hang(f"still at it after {_PATIENCE} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def reported(call: Callable[[], T], names: object) -> T | None:
    """What `call` returns, or None where it raises a UserError that is a sentence and names `names`.

    Any other exception passes and fails the test.
    """
    message = complaint(call)
    if isinstance(message, UserError):
        text = str(message)
        assert str(names) in text, text
        assert text.isprintable(), repr(text)  # one line, and nothing that a terminal takes for a command
        return None
    return message


def complaint(call: Callable[[], T]) -> T | UserError:
    """What `call` returns, or the UserError that it raises."""
    with bounded():
        try:
            return call()
        except UserError as error:
            return error
