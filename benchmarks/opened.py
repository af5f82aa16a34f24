"""Trained models and maps of a finished run, for measurements of all its images at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ala.config.schema import Rise, Settings
    from ala.pipeline.context import Context
    from ala.pipeline.models import Loaded


def context_of(settings: Settings, seed: int, device: torch.device, image_cache: Path, models: Path) -> Context:
    """What the functions of :mod:`ala.pipeline` are given."""
    from ala.pipeline.context import Context

    return Context(settings, seed, device, image_cache, models)


def evaluated(context: Context, name: str) -> Loaded:
    """The model on which the method `name` is evaluated: its own, or the main one."""
    from ala.pipeline.methods import resolve

    return context.model(resolve(name, context.settings).evaluated)


def rise_maps(
    model: Any, images: Any, indices: np.ndarray, targets: np.ndarray, settings: Rise, device: torch.device
) -> np.ndarray:
    """RISE maps float32 `(n, S, S)` of the images `indices` for one class each."""
    from ala.explainers.rise import rise

    normalised = model.preprocessing.normalise(images.pixels(indices).to(device))
    return rise(model, normalised, targets, **settings.model_dump()).numpy()
