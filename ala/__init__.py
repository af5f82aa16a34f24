"""Attention Lattice Adapter (JSAI 2024): a reproducible, testable implementation with RISE and F-CAM beside it.

The names below are what a notebook needs; each is imported when it is first used, so `import ala` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from ala.config import load as load_settings
    from ala.contracts.classifier import Classifier
    from ala.contracts.explainer import Explainer
    from ala.contracts.maps import Maps
    from ala.data.image_cache import ImageCache
    from ala.encoders import load_encoder
    from ala.explainers.rise import rise
    from ala.metrics.arrays import insertion_deletion, iou
    from ala.metrics.scoring import Metric
    from ala.model.checkpoint import load_model
    from ala.registry import find
    from ala.utils.errors import UserError

#: Public name: where it is defined, `module:attribute`.
_PUBLIC = {
    "Classifier": "ala.contracts.classifier:Classifier",
    "Explainer": "ala.contracts.explainer:Explainer",
    "ImageCache": "ala.data.image_cache:ImageCache",
    "Maps": "ala.contracts.maps:Maps",
    "Metric": "ala.metrics.scoring:Metric",
    "UserError": "ala.utils.errors:UserError",
    "find": "ala.registry:find",
    "insertion_deletion": "ala.metrics.arrays:insertion_deletion",
    "iou": "ala.metrics.arrays:iou",
    "load_encoder": "ala.encoders:load_encoder",
    "load_model": "ala.model.checkpoint:load_model",
    "load_settings": "ala.config:load",
    "rise": "ala.explainers.rise:rise",
}

__all__ = [
    "Classifier", "Explainer", "ImageCache", "Maps", "Metric", "UserError", "find", "insertion_deletion", "iou",
    "load_encoder", "load_model", "load_settings", "rise",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'ala' has no attribute {name!r}; its names are {', '.join(__all__)}")
    module, _, attribute = _PUBLIC[name].partition(":")
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
