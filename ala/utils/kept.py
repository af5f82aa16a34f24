"""Save a stage's predictions while it runs, so that a killed run resumes without computing them again.

RISE, insertion, deletion and maps take millions of forward passes; the rest of their stages is cheap. So only the
predictions are saved: a stage opens its resume state (:mod:`ala.utils.resume`) with :func:`keeping`, and the loops
that call models find it by :func:`current`. A stage with the same settings, inputs and code makes the same calls in the
same order, so the number of a call and the position within it identify its predictions. They are computed in the same
batches whether the run was interrupted or not, and the results are the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from ala.utils import interrupt
from ala.utils.resume import Resumable, stamps


class Kept:
    """The saved predictions of one stage, in chunks: one file for what was computed since the last write."""

    def __init__(self, work: Resumable) -> None:
        self._work = work
        self._calls = 0
        self._chunk_of: dict[str, int] = {}
        self._open: tuple[int, dict[str, np.ndarray]] = (-1, {})
        self._pending: dict[str, np.ndarray] = {}
        while (arrays := work.arrays(f"chunk-{self._open[0] + 1}")) is not None:
            self._open = (self._open[0] + 1, arrays)
            self._chunk_of |= dict.fromkeys(arrays, self._open[0])
        self._next = self._open[0] + 1

    def call(self) -> Call:
        """Return the record of the next call of a loop over images."""
        self._calls += 1
        return Call(self, self._calls)

    def get(self, name: str) -> np.ndarray | None:
        """Return what an earlier run saved under `name`."""
        chunk = self._chunk_of.get(name)
        if chunk is None:
            return None
        if self._open[0] != chunk:
            self._open = (chunk, self._work.arrays(f"chunk-{chunk}") or {})
        return self._open[1].get(name)

    def add(self, name: str, array: np.ndarray, what: str) -> None:
        """Add `array`; it is written together with others when that is due.

        Raises:
            Stopped: a signal has arrived, and everything up to here is written.
        """
        self._pending[name] = array
        self._work.mark(name)
        if self._work.due():
            self._work.keep_arrays(f"chunk-{self._next}", self._pending)
            self._next += 1
            self._pending = {}
            interrupt.checkpoint(f"{self._work.name}: {what}")

    def due(self) -> bool:
        """Whether predictions should be passed to :meth:`add` now."""
        return self._work.due()


class Call:
    """The saved predictions of one loop over images, from position 0 on; without resume state nothing is saved.

    Args:
        kept: of the stage, or None.
        number: of the call within the stage.
    """

    def __init__(self, kept: Kept | None, number: int = 0) -> None:
        self._kept, self._number = kept, number

    def get(self, start: int) -> np.ndarray | None:
        """Return the saved predictions that begin at position `start`."""
        return None if self._kept is None else self._kept.get(f"{self._number}:{start}")

    def due(self) -> bool:
        """Whether :meth:`add` should be called now, because saving is due or a signal to stop has arrived."""
        return self._kept is not None and self._kept.due()

    def add(self, start: int, answers: np.ndarray, what: str) -> None:
        """Save the predictions from position `start` on; `what` says how far the work has come."""
        if self._kept is not None and len(answers):
            self._kept.add(f"{self._number}:{start}", answers, what)


_current: ContextVar[Kept | None] = ContextVar("kept", default=None)


def stage_work(name: str, settings: Mapping[str, Any], inputs: Iterable[Path], store: Path, device: Any) -> Resumable:
    """Open the resume state of a stage that runs models.

    Args:
        name: of the stage's cell.
        settings: everything that its predictions depend on.
        inputs: models and maps; their bytes decide.
        store: the image cache: gigabytes, so its files are identified by size and time of change.
        device: where the models live; it and the number of threads are included, since both affect the last bits.
    """
    return Resumable.open(name, {**settings, **where_run(store, device)}, inputs, code=["ala"])


def where_run(store: Path, device: Any) -> dict[str, Any]:
    """Describe the image cache and the machine, for the digest of some work; arguments as of :func:`stage_work`."""
    import torch

    return {"store": stamps(store), "device": str(device), "threads": torch.get_num_threads()}


@contextmanager
def keeping(work: Resumable) -> Iterator[None]:
    """Save predictions in `work` while the block runs, and remove them when it succeeds."""
    token = _current.set(Kept(work))
    try:
        yield
        work.finish()
    finally:
        _current.reset(token)


def current() -> Call:
    """Return the record of the running stage's next call."""
    kept = _current.get()
    return Call(None) if kept is None else kept.call()


def once(make: Callable[[], Mapping[str, np.ndarray]], what: str) -> dict[str, np.ndarray]:
    """Return the result of `make`, computed by this run or loaded from an earlier, interrupted one."""
    kept = _current.get()
    if kept is None:
        return dict(make())
    call = kept.call()
    names = call.get(-1)
    if names is not None:
        found = {str(name): call.get(position) for position, name in enumerate(names)}
        if all(value is not None for value in found.values()):
            return {name: value for name, value in found.items() if value is not None}
    made = dict(make())
    for position, value in enumerate(made.values()):
        call.add(position, value, what)
    call.add(-1, np.array(list(made)), what)
    return made
