"""Trained models by name, opened once in a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ala.contracts.classifier import Classifier
from ala.utils import ledger


@dataclass(frozen=True)
class Loaded:
    """A trained model: what predicts, and what has a map of its own (`explain`)."""

    classifier: Classifier
    model: Any


@lru_cache(maxsize=4)
@ledger.work("loading")
def load(name: str, seed: int, models: Path, encoder: Path, device: torch.device, key: str) -> Loaded:
    """Open the model `models/NAME/seed-SEED` on `device`.

    Args:
        encoder: the folder of the encoder that it was trained beside.
        key: another one opens the files again (:attr:`ala.pipeline.context.Context.key`).

    Raises:
        UserError: a file is missing or damaged.
    """
    folder = models / name / f"seed-{seed}"
    if (folder / "classifier.safetensors").exists():
        from ala.explainers.fcam.model import load_fcam

        fcam = load_fcam(folder, device)
        return Loaded(fcam.classifier, fcam)
    from ala.model.checkpoint import load_model

    model = load_model(folder, encoder, device)
    return Loaded(model, model)
