"""Train stage 1, the classifier, and keep its best epoch on the validation images (METHODS 4.1, 4.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from ala.config.schema import Fcam as Settings
from ala.data.image_cache import ImageCache
from ala.explainers.fcam.batches import Crops, rate_factor, sgd
from ala.explainers.fcam.boxes import box_accuracy, boxes_found
from ala.explainers.fcam.cam import resize_maps
from ala.explainers.fcam.classifier import CamClassifier
from ala.training.loop import Epoch, Part, Task, train
from ala.utils.checkpoint import Checkpoint
from ala.utils.fitting import Halving
from ala.utils.seeds import derive

CURVE = ["epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_box_accuracy"]


def train_classifier(
    classifier: CamClassifier, images: ImageCache, val: ImageCache, settings: Settings, seed: int,
    checkpoint: Checkpoint | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:  # fmt: skip
    """Train in place by cross-entropy and SGD; leave the weights of the best epoch, in eval mode.

    Best is the largest `settings.select` on `val`; among equals the smallest validation loss.

    Returns:
        The curve, one row per epoch with the columns :data:`CURVE` (`val_box_accuracy` is empty unless it selects),
        and the row of the kept epoch.

    Raises:
        UserError: the loss (of training or validation) or a gradient becomes NaN or infinite, or the device's memory
            does not hold a step.
    """
    stage = settings.classifier
    device = next(classifier.parameters()).device
    late = classifier.late_parameters() if stage.head_lr_factor != 1 else []
    taken = {id(parameter) for parameter in late}
    optimiser = sgd(stage, [p for p in classifier.parameters() if id(p) not in taken], late, stage.head_lr_factor)
    crops, halving = Crops(images, settings.input_size, seed, "classifier"), Halving()

    def loss(indices: np.ndarray, epoch: Epoch) -> tuple[Tensor, dict[str, float]]:
        labels = torch.from_numpy(images.labels[indices]).to(device)  # (B,)
        logits = classifier(classifier.preprocessing.normalise(crops.pixels(indices).to(device)))  # (B, K)
        return F.cross_entropy(logits, labels), {"train_accuracy": (logits.argmax(1) == labels).sum().item()}

    course = train(
        Task(
            "F-CAM classifier", "fcam.classifier", classifier, [Part(optimiser, [classifier])],
            list(classifier.parameters()), [Epoch(index) for index in range(stage.epochs)], stage.batch, stage.lr,
            derive(seed, "fcam", "classifier"), np.asarray(images.image_ids), crops.order, loss, rate_factor(stage),
            validate=lambda row: validate(classifier, val, settings, halving),
            score=lambda row: (row[settings.select], -row["val_loss"]),
        ),
        checkpoint,
    )  # fmt: skip
    curve = [{column: row[column] for column in CURVE if column in row} for row in course.curve]
    return pd.DataFrame(curve, columns=CURVE), curve[course.kept]


@torch.no_grad()
def validate(
    classifier: CamClassifier, val: ImageCache, settings: Settings, halving: Halving | None = None
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
