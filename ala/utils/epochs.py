"""Save and restore the state of a training between epochs; a resumed training is bit-identical to an uninterrupted one.

The parts of a training are its whole state after an epoch: weights, optimisers, schedules, generators, the curve. They
are saved together in one unit, so a kill never leaves parts of different epochs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ala.utils import interrupt
from ala.utils.resume import Resumable, random_state, restore_random_state

if TYPE_CHECKING:
    import torch


class Part(Protocol):
    """A module, an optimiser or a schedule, with a state dict of tensors, numbers and strings only."""

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state: Any, /) -> Any: ...


class Epochs:
    """Counts a training's epochs and saves its parts in a unit of `work`; without `work` nothing is saved.

    An existing state is restored at once, so all parts must already have their final device and dtype.

    Args:
        work: of the stage, or None.
        unit: name of the training within the work, such as `decoder`.
        total: number of epochs.
        parts: by name; torch's global random state is saved with them.

    Attributes:
        done: number of epochs that are finished.
    """

    def __init__(self, work: Resumable | None, unit: str, total: int, parts: Mapping[str, Part]) -> None:
        self.work, self.unit, self.total, self.parts = work, unit, total, {**parts, "random": _Global()}
        self.done = 0
        state = work.tensors(unit) if work is not None else None
        if state is not None:
            for name, part in self.parts.items():
                part.load_state_dict(state["parts"][name])
            self.done = state["done"]

    @property
    def ended(self) -> bool:
        """Whether the last epoch is finished."""
        return self.done >= self.total

    def finished(self) -> None:
        """Count an epoch; save the parts if it is the last one, if saving is due, or if a signal came.

        Raises:
            Stopped: a signal came.
            UserError: the state cannot be written.
        """
        self.done += 1
        if self.work is None:
            return
        self.work.mark(f"{self.unit} epoch {self.done - 1}")
        if self.ended or self.work.due():
            parts = {name: part.state_dict() for name, part in self.parts.items()}
            self.work.keep_tensors(self.unit, {"parts": parts, "done": self.done})
            interrupt.checkpoint(f"epoch {self.done} of {self.total} of {self.work.name}, {self.unit}")


class Generator:
    """A torch generator as a part."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def state_dict(self) -> torch.Tensor:
        return self.generator.get_state()

    def load_state_dict(self, state: torch.Tensor) -> None:
        self.generator.set_state(state)


class Rows:
    """A curve as a part: dicts of numbers, one for each epoch."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def state_dict(self) -> list[dict[str, Any]]:
        return self.rows

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        self.rows[:] = state


class _Global:
    """torch's global generators, which dropout draws from."""

    def state_dict(self) -> dict[str, Any]:
        return random_state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        restore_random_state(state)
