"""What is on top: the claims with their verdicts, and the main result in a few numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from ala.report.rows import Row
from ala.report.run import Run
from ala.report.summary import METRICS
from ala.report.table import KINDS
from ala.report.text import absent, is_number, spread_text, text_of


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


def claims(frame: pd.DataFrame) -> Tally:
    """The claims of `claims.csv`."""
    verdicts = [
        Verdict(line["claim"], line["verdict"], KINDS.get(line["verdict"], "none"), _detail(line), line["reason"] or "")
        for _, line in frame.iterrows()
    ]
    counted = Counter((found.verdict, found.kind) for found in verdicts)
    return Tally(verdicts, [(verdict, kind, count) for (verdict, kind), count in counted.most_common()])


def _detail(line: pd.Series) -> str:
    if not is_number(line["difference"]):
        return ""
    metric = METRICS[line["metric"]].title if line["metric"] in METRICS else line["metric"]
    text = f"{metric} {_signed(line['difference'])}"
    if not absent(line["ci_low"]):
        text += f" [{_signed(line['ci_low'])}, {_signed(line['ci_high'])}]"
    return text


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{text_of(abs(float(value)))}"


def headline(run: Run, frame: pd.DataFrame) -> list[tuple[Row, str, str]]:
    """The methods that explain a model with mean IoU and ID, over the images that they share, from `main.csv`."""
    lines = frame.set_index("method")
    miou, score = (
        {row.name: spread_text(lines.loc[row.name, f"{metric}_mean"], lines.loc[row.name, f"{metric}_std"])
         for row in run.rows.explainers} for metric in ("miou_common", "id_common")
    )  # fmt: skip
    return [(row, miou[row.name], score[row.name]) for row in run.rows.explainers]
