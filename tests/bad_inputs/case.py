"""Define one damaged project and the message that the command must give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.bad_inputs.world import World


@dataclass(frozen=True)
class Case:
    """One damage and the command that must refuse it: exit code 2, one sentence, nothing written.

    Attributes:
        what: is wrong, in words; the row of docs/errors.md.
        command: the stage that meets it, with its options.
        damage: makes it wrong.
        file: the name that the sentence must hold, of a file, a folder or a setting.
        value: what the sentence must quote of it.
        remedy: how the sentence must end.
    """

    what: str
    command: str
    damage: Callable[[World], None]
    file: str
    value: str
    remedy: str


@dataclass(frozen=True)
class Accepted:
    """Something unusual that is no reason to stop.

    Attributes:
        what: is unusual.
        command: the stage that meets it.
        damage: makes it so.
        so: what is done with it, for docs/errors.md.
        check: looks at what the command wrote and said.
    """

    what: str
    command: str
    damage: Callable[[World], None]
    so: str
    check: Callable[[World, str], None]
