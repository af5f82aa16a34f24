"""Run a Classifier in bfloat16, or compiled: faster, with slightly different predictions (docs/performance.md)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ala.config.schema import Engine
from ala.contracts.classifier import Classifier
from ala.contracts.compute import Precision, autocast, require_precision


class Running:
    """A Classifier that runs in `precision`, compiled or not; its predictions are float32.

    Args:
        model: any Classifier; where it has `logits`, softmax is taken of them in float32.
        precision: `fp32` or `bf16`.
        compiled: run the network through `torch.compile`. The first call of every batch size then takes long.
    """

    def __init__(self, model: Classifier, precision: Precision = "fp32", compiled: bool = False) -> None:
        self.model, self.precision, self.preprocessing = model, precision, model.preprocessing
        self._from_logits = hasattr(model, "logits")
        network: Any = model.logits if self._from_logits else model  # type: ignore[attr-defined]
        self._network = torch.compile(network) if compiled else network
        if self._from_logits:
            self.logits = self._run  # what RISE requests with rise.output: logits

    def __call__(self, images: Tensor) -> Tensor:
        predictions = self._run(images)  # (B, K)
        return predictions.softmax(-1) if self._from_logits else predictions

    def _run(self, images: Tensor) -> Tensor:
        with autocast(self.precision, images.device):
            predictions: Tensor = self._network(images)
        return predictions.float()


def running(model: Classifier, settings: Engine, device: torch.device) -> Classifier:
    """Wrap `model` to run as the `engine` block says; for fp32 without compiling, return the model itself.

    Raises:
        UserError: the device has no bfloat16, and `precision` is bf16.
    """
    require_precision(settings.precision, device, "engine.precision")
    if settings.precision == "fp32" and not settings.compile:
        return model
    return Running(model, settings.precision, settings.compile)
