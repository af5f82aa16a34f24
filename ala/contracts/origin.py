"""What an encoder's weights are, where they are not the result of training, and the mark that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: `source.weights` in encoder.json of an encoder whose weights were drawn and never trained.
RANDOM_WEIGHTS = "random weights"


def mark(about: Mapping[str, Any]) -> str | None:
    """What every page of a report must say, from the content of encoder.json; None for an encoder that has learned."""
    random = about.get("source", {}).get("weights") == RANDOM_WEIGHTS
    return f"rehearsal: {RANDOM_WEIGHTS}" if random else None
