"""Settings of registered explainers, from params.yaml."""

from __future__ import annotations

from typing import Any

from ala.config import load
from ala.pipeline.methods import resolve


def explainer_settings(name: str) -> dict[str, Any]:
    """The keyword arguments that the profile `rehearsal`, which is small, has for an explainer."""
    return resolve(name, load("params.yaml").model_copy(update={"profile": "rehearsal"})).settings
