"""Mark reports of encoders whose weights are random instead of trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: `source.weights` in encoder.json of an encoder whose weights are random and untrained.
RANDOM_WEIGHTS = "random weights"


def mark(about: Mapping[str, Any]) -> str | None:
    """Return the warning for every page of a report, from the content of encoder.json; None for a trained encoder."""
    random = about.get("source", {}).get("weights") == RANDOM_WEIGHTS
    return f"rehearsal: {RANDOM_WEIGHTS}" if random else None
