"""The numbers that the slides print, read from the project's copy (`slides.yaml`); never typed into code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

METRICS = ("miou", "insertion", "deletion", "id")


@dataclass(frozen=True)
class Printed:
    """A value of the slides with the spread printed beside it; the number of runs is not given there."""

    mean: float
    spread: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.spread:.3f}"


@cache
def printed(table: str) -> dict[str, dict[str, Printed]]:
    """Table `main` or `ablation` of the slides: row name to metric (:data:`METRICS`) to value."""
    rows = _content()[table].items()
    return {row: {name: Printed(*map(float, cells[name])) for name in METRICS} for row, cells in rows}


def errors() -> dict[str, int]:
    """How the slides sort the worst images: `worst` is how many, by kind (`OA`, `IA`, `Others`) how many of them."""
    found = _content()["errors"]
    named = {"worst": "worst", "OA": "over_attended", "IA": "insufficiently_attended", "Others": "others"}
    return {name: int(found[key]) for name, key in named.items()}


def _content() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "slides.yaml").read_text(encoding="utf-8"))
    return content
