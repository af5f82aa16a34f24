"""Schedule of the Alternating Epoch Architect: which epochs train which parts (METHODS 2.6)."""

from __future__ import annotations

from dataclasses import dataclass

from ala.config.schema import Schedule
from ala.utils.errors import UserError


@dataclass(frozen=True)
class Epoch:
    """Epoch `index` (from 0). *On*: everything trains. *Off*: SBN and AB rest, alpha is 1, only PB trains."""

    index: int
    on: bool

    @property
    def phase(self) -> str:
        """`on` or `off`."""
        return "on" if self.on else "off"


def phases(epochs: int, schedule: Schedule, aea: bool) -> list[Epoch]:
    """List `epochs` epochs of the repeating pattern; without AEA every epoch is on.

    >>> [epoch.phase for epoch in phases(4, Schedule(off_epochs=1, on_epochs=1, first="off"), aea=True)]
    ['off', 'on', 'off', 'on']

    Raises:
        UserError: no epoch would be on, so that nothing could be validated.
    """
    if not aea:
        return [Epoch(index, True) for index in range(epochs)]
    pattern = [False] * schedule.off_epochs + [True] * schedule.on_epochs
    if schedule.first == "on":
        pattern.reverse()
    plan = [Epoch(index, pattern[index % len(pattern)]) for index in range(epochs)]
    if not any(epoch.on for epoch in plan):
        raise UserError(
            f"train.epochs ({epochs}) ends before AEA's first on epoch; give at least {schedule.off_epochs + 1} epochs"
        )
    return plan


def learning_rate(lr: float, epoch: int, epochs: int, power: float) -> float:
    """Compute an epoch's learning rate: `lr * (1 - epoch / epochs) ** power`, constant for power 0."""
    return lr * (1 - epoch / epochs) ** power
