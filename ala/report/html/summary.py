"""What stands on top: the claims with their verdicts, and the main result in a few numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ala.report import rows
from ala.report.html import tables


@dataclass(frozen=True)
class Verdict:
    """One claim; `detail` is difference and interval where the table has them."""

    claim: str
    verdict: str
    kind: str
    detail: str
    reason: str


@dataclass(frozen=True)
class Tally:
    """The claims in the order of their table, and how many have each verdict, most first."""

    verdicts: list[Verdict]
    counts: list[tuple[str, str, int]]


def claims(path: Path) -> Tally | None:
    """The claims of `claims.csv`; None where there is no such table or it names no verdicts."""
    content = tables.read(path) if path.exists() else []
    if not content or not {"claim", "verdict"} <= set(content[0]):
        return None
    verdicts = [
        Verdict(
            row["claim"],
            row["verdict"],
            tables.KINDS.get(row["verdict"], "none"),
            _detail(row),
            row.get("reason", ""),
        )
        for row in content
    ]
    counted = Counter((found.verdict, found.kind) for found in verdicts)
    return Tally(verdicts, [(verdict, kind, count) for (verdict, kind), count in counted.most_common()])


def _detail(row: dict[str, str]) -> str:
    if not row.get("difference"):
        return ""
    metric = {"miou": "mean IoU"}.get(row.get("metric", ""), row.get("metric", ""))
    text = f"{metric} {_signed(row['difference'])}".strip()
    if row.get("ci_low") and row.get("ci_high"):
        text += f" [{_signed(row['ci_low'])}, {_signed(row['ci_high'])}]"
    return text


def _signed(text: str) -> str:
    shown = tables.rounded(text)
    return shown.replace("-", "−") if shown.startswith("-") else f"+{shown}"


def headline(path: Path) -> list[dict[str, str]]:
    """Mean IoU and ID of the methods that explain a model, over the images that they share; empty without a table."""
    content = tables.read(path) if path.exists() else []
    return [
        {
            "row": row["method"],
            "label": rows.LABELS.get(row["method"], row["method"]),
            "miou": _spread(row, "miou_common"),
            "id": _spread(row, "id_common"),
        }
        for row in content
        if row.get("method") in rows.EXPLAINERS
    ]


def _spread(row: dict[str, str], name: str) -> str:
    mean, deviation = tables.rounded(row.get(f"{name}_mean", "")), row.get(f"{name}_std", "")
    numeric = mean[:1].isdigit() or mean[:1] == "-"
    return f"{mean} ± {tables.rounded(deviation)}" if numeric and deviation else mean
