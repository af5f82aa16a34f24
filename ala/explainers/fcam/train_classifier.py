"""Train stage 1, the classifier, and keep its best epoch on the validation images (METHODS 4.1, 4.5)."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from ala.config.schema import Fcam as Settings
from ala.data.store import Store
from ala.explainers.fcam.batches import Plan, crops
from ala.explainers.fcam.boxes import box_accuracy, boxes_found
from ala.explainers.fcam.cam import resize_maps
from ala.explainers.fcam.classifier import CamClassifier
from ala.explainers.fcam.optimise import Loss, descend, learning_rate, set_rate, sgd
from ala.utils.epochs import Epochs, Part, Rows
from ala.utils.errors import UserError
from ala.utils.fitting import Halving
from ala.utils.progress import track
from ala.utils.resume import Resumable

CURVE = ["epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_box_accuracy"]


def train_classifier(
    classifier: CamClassifier, train: Store, val: Store, settings: Settings, seed: int, work: Resumable | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Train in place by cross-entropy and SGD; leave the weights of the best epoch, in eval mode.

    Best is the largest `settings.select` on `val`; among equals the smallest validation loss. `work` saves the state
    between epochs; training resumes from a saved state, bit-identically.

    Returns:
        The curve, one row per epoch with the columns :data:`CURVE` (`val_box_accuracy` is empty unless it selects),
        and the row of the kept epoch.

    Raises:
        UserError: the loss (of training or validation) or a gradient becomes NaN or infinite, or the device's memory
            does not hold a step.
        Stopped: a signal arrived, and the state is saved.
    """
    stage, size = settings.classifier, settings.input_size
    device = next(classifier.parameters()).device
    late = classifier.late_parameters() if stage.head_lr_factor != 1 else []
    taken = {id(parameter) for parameter in late}
    optimiser = sgd(stage, [p for p in classifier.parameters() if id(p) not in taken], late, stage.head_lr_factor)
    best, curve = _Best(settings.select), Rows()
    parts: dict[str, Part] = {"network": classifier, "optimiser": optimiser, "best": best, "curve": curve}
    epochs = Epochs(work, "classifier", stage.epochs, parts)
    plan = Plan(len(train), train.size, size, stage.epochs, stage.batch, seed, "classifier", epochs.done)

    halving = Halving()
    losses, right = 0.0, 0
    for batch in track(plan, "F-CAM classifier", total=len(plan), unit="batch"):
        if batch.number == 0:
            classifier.train()
            losses, right = 0.0, 0
            set_rate(optimiser, learning_rate(stage, batch.epoch))
        pixels = crops(train, batch, size)  # (B, 3, S, S)
        labels = torch.from_numpy(train.labels[batch.rows])  # (B,)

        def loss_of(pixels: Tensor = pixels, labels: Tensor = labels) -> Loss:
            wanted = labels.to(device)
            logits = classifier(classifier.preprocessing.normalise(pixels.to(device)))  # (B, K)
            return F.cross_entropy(logits, wanted), {"right": float((logits.argmax(1) == wanted).sum())}

        loss, more = descend(optimiser, loss_of, "classifier", batch, train, stage)
        losses += loss * len(labels)
        right += int(more["right"])
        if not batch.ends_epoch:
            continue
        row: dict[str, Any] = {"epoch": batch.epoch, "lr": learning_rate(stage, batch.epoch)}
        row |= {"train_loss": losses / len(train), "train_accuracy": right / len(train)}
        row |= validate(classifier, val, settings, halving)
        if not math.isfinite(row["val_loss"]):
            raise UserError(
                f"F-CAM's classifier: the validation loss is {row['val_loss']} after epoch {batch.epoch}; lower"
                f" fcam.classifier.lr (now {stage.lr})"
            )
        curve.rows.append(row)
        best.offer(row, classifier)
        epochs.finished()
    classifier.load_state_dict(best.state)
    classifier.eval()
    return pd.DataFrame(curve.rows, columns=CURVE), best.row


class _Best:
    """The best epoch so far: its row of the curve and its weights."""

    def __init__(self, select: str) -> None:
        self.select = select
        self.row: dict[str, Any] = {}
        self.state: dict[str, Tensor] = {}

    def offer(self, row: dict[str, Any], classifier: CamClassifier) -> None:
        if not self.row or self._quality(row) > self._quality(self.row):
            self.row, self.state = row, copy.deepcopy(classifier.state_dict())

    def _quality(self, row: dict[str, Any]) -> tuple[float, float]:
        return row[self.select], -row["val_loss"]

    def state_dict(self) -> dict[str, Any]:
        return {"row": self.row, "state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.row, self.state = state["row"], state["state"]


@torch.no_grad()
def validate(
    classifier: CamClassifier, val: Store, settings: Settings, halving: Halving | None = None
) -> dict[str, float]:
    """Loss, accuracy and, if it selects the checkpoint, box accuracy of the true classes' CAMs on `val`."""
    classifier.eval()
    device = next(classifier.parameters()).device
    batch, boxes = settings.classifier.batch, settings.select == "val_box_accuracy"
    halving = halving or Halving()
    loss, right = 0.0, 0
    boxed: list[np.ndarray] = []  # (b, thresholds) each

    def cams(last: Tensor, labels: Tensor) -> np.ndarray:
        return resize_maps(classifier.cam(last, labels), val.size).cpu().numpy()  # (b, S, S)

    def look(start: int, stop: int) -> tuple[float, int, list[np.ndarray]]:
        some = slice(start, stop)
        labels = torch.from_numpy(val.labels[some]).to(device)  # (b,)
        last = classifier.pyramid(classifier.preprocessing.normalise(val.pixels(some).to(device))).last
        logits = classifier.logits(last)  # (b, K)
        return (
            float(F.cross_entropy(logits, labels, reduction="sum")),
            int((logits.argmax(1) == labels).sum()),
            [boxes_found(cams(last, labels), val.boxes[some])] if boxes else [],
        )

    for first in range(0, len(val), batch):
        for more, more_right, found in halving(first, min(first + batch, len(val)), look):
            loss, right = loss + more, right + more_right
            boxed += found
    result = {"val_loss": loss / len(val), "val_accuracy": right / len(val)}
    if boxes:
        result["val_box_accuracy"] = box_accuracy(np.concatenate(boxed))
    return result
