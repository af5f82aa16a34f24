"""List all cases, grouped by what is damaged."""

from __future__ import annotations

from tests.bad_inputs.case import Accepted, Case
from tests.bad_inputs.cases import archives, lists, pictures, results, settings, system, weights

REFUSED: dict[str, list[Case]] = {
    "Settings and options": settings.CASES, "Lists": lists.CASES, "Images and masks": pictures.CASES,
    "Archives": archives.CASES, "Weights and models": weights.CASES,
    "Splits, image caches, maps and scores": results.CASES, "Disks and folders": system.CASES,
}  # fmt: skip
ACCEPTED: list[Accepted] = [
    *settings.ACCEPTED,
    *lists.ACCEPTED,
    *pictures.ACCEPTED,
    *system.ACCEPTED,
]
