"""Save and restore the state of a training between epochs; resumed training is bit-identical (METHODS 2.6, 2.7).

The learning rate, AEA's phase, the order of images, augmentation and dropout follow from the seed and the epoch's
number, so only weights, both optimisers, the best state so far and the curve are saved.
"""

from __future__ import annotations

from typing import Any

from ala.model.adapter import Adapter
from ala.model.lora import LoraEncoder
from ala.training.best import Best
from ala.training.optimiser import Optimiser
from ala.utils import interrupt
from ala.utils.resume import Resumable

_UNIT = "epoch"


class Progress:
    """A training's state, saved in the units of `work`; without `work` nothing is saved.

    Attributes:
        done: number of epochs that are finished.
        ended: whether the last epoch is finished.
    """

    def __init__(
        self, work: Resumable | None, epochs: int,
        adapter: Adapter, lora: LoraEncoder | None, optimiser: Optimiser, best: Best, curve: list[dict[str, Any]],
    ) -> None:  # fmt: skip
        self.work, self.epochs = work, epochs
        self.adapter, self.lora, self.optimiser, self.best, self.curve = adapter, lora, optimiser, best, curve
        self.done, self.ended = 0, False
        state = work.tensors(_UNIT) if work is not None else None
        if state is not None:
            adapter.load_state_dict(state["adapter"])
            if lora is not None:
                lora.load_update(state["lora"])
            optimiser.perception.load_state_dict(state["perception"])
            optimiser.resting.load_state_dict(state["resting"])
            best.load_state_dict(state["best"])
            curve.extend(state["curve"])
            self.done, self.ended = state["done"], state["ended"]

    def finished_epoch(self, ended: bool) -> None:
        """Count an epoch; save the state if it is the last one, if saving is due, or if a signal came.

        Args:
            ended: whether the training stops here (its last epoch, or `patience`).

        Raises:
            Stopped: a signal came.
            UserError: the state cannot be written.
        """
        self.done += 1
        self.ended = ended or self.done == self.epochs
        if self.work is None:
            return
        self.work.mark(f"epoch {self.done - 1}")
        if self.ended or self.work.due():
            self.work.keep_tensors(_UNIT, {
                "adapter": self.adapter.state_dict(),
                "lora": dict(self.lora.update()) if self.lora is not None else {},
                "perception": self.optimiser.perception.state_dict(),
                "resting": self.optimiser.resting.state_dict(),
                "best": self.best.state_dict(), "curve": self.curve, "done": self.done, "ended": self.ended,
            })  # fmt: skip
            interrupt.checkpoint(f"epoch {self.done} of {self.epochs} of {self.work.name}")
