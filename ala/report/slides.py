"""What the slides print and claim, read from the project's copy (`slides.yaml`); never typed into code."""

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


@dataclass(frozen=True)
class Claim:
    """Row `higher` is better than row `lower` in `metric`.

    Attributes:
        table: the slides' table that prints both, if any.
        slide: where it is claimed; `ours` for what this project adds.
        text: the sentence, where it says more than the comparison.
    """

    higher: str
    lower: str
    table: str | None = None
    metric: str = "miou"
    slide: str = "ours"
    text: str | None = None


@cache
def content() -> dict[str, Any]:
    """The file."""
    found: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "slides.yaml").read_text(encoding="utf-8"))
    return found


@cache
def printed(table: str) -> dict[str, dict[str, Printed]]:
    """Table `main` or `ablation` of the slides: row name to metric (:data:`METRICS`) to value."""
    rows = content()[table].items()
    return {row: {name: Printed(*map(float, cells[name])) for name in METRICS} for row, cells in rows}


@cache
def claims() -> list[Claim]:
    """The claims with a difference of their own: the slides' first, then ours."""
    return [Claim(**each) for each in content()["claims"]]


def errors() -> dict[str, int]:
    """How the slides sort the worst images: `worst` is how many, by kind (`OA`, `IA`, `Others`) how many of them."""
    found = content()["errors"]
    named = {"worst": "worst", "OA": "over_attended", "IA": "insufficiently_attended", "Others": "others"}
    return {name: int(found[key]) for name, key in named.items()}
