"""Keep the best state of a training, judged on the validation images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ala.config.schema import Train
from ala.model.adapter import Adapter
from ala.model.lora import LoraEncoder
from ala.training.schedule import Epoch


@dataclass(frozen=True)
class Validation:
    """`loss` is the cross-entropy of PB + AB logits (the author's criterion); `alpha` float32 `(n, g, g)`."""

    loss: float
    accuracy_pb: float
    accuracy_pb_plus_ab: float
    alpha: np.ndarray


class Best:
    """The best state so far, by `train.criterion`, among those offered (after on epochs only).

    `val_loss`: lowest cross-entropy of PB + AB. `val_accuracy`: highest accuracy of PB + AB, ties by lower loss.
    `last`: the latest, and `train.patience` has no meaning.
    """

    def __init__(self, settings: Train) -> None:
        self.settings = settings
        self.epoch = -1
        self._score: tuple[float, ...] | None = None
        self._state: dict[str, Tensor] = {}
        self._update: dict[str, Tensor] = {}
        self._since = 0

    def offer(self, epoch: Epoch, validation: Validation, adapter: Adapter, lora: LoraEncoder | None) -> bool:
        """Keep this state if it is the best; return whether `patience` evaluations brought no improvement."""
        score = {
            "val_loss": (-validation.loss,),
            "val_accuracy": (validation.accuracy_pb_plus_ab, -validation.loss),
            "last": (float(epoch.index),),
        }[self.settings.criterion]
        if self._score is None or score > self._score:
            self._score, self.epoch, self._since = score, epoch.index, 0
            self._state = {name: tensor.detach().clone() for name, tensor in adapter.state_dict().items()}
            self._update = {n: t.detach().clone() for n, t in lora.update().items()} if lora is not None else {}
        else:
            self._since += 1
        return self.settings.patience is not None and self._since >= self.settings.patience

    def restore(self, adapter: Adapter, lora: LoraEncoder | None) -> None:
        """Restore the best state."""
        adapter.load_state_dict(self._state)
        if lora is not None:
            lora.load_update(self._update)

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state as tensors and numbers."""
        return {"epoch": self.epoch, "score": self._score, "state": self._state, "update": self._update,
                "since": self._since}  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.epoch, self._score, self._since = state["epoch"], state["score"], state["since"]
        self._state, self._update = state["state"], state["update"]
