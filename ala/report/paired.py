"""`paired.csv`: every two rows on the same images, with interval, effect size and corrected test."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ala.report import rows
from ala.report.markdown import ABSENT, grid, number
from ala.report.pairs import SOURCES, TITLES, common
from ala.report.run import Run
from ala.report.statistics import LEVEL, MOST_SEEDS, difference, effect_sizes, holm, p_text

COLUMNS = [
    "metric", "first", "second", "n_seeds", "n_images", "first_mean", "second_mean", "difference", "ci_low", "ci_high",
    "effect_size", "rank_biserial", "p", "p_holm", "spread", "separated", "seeds_to_halve", "command",
]  # fmt: skip

#: Where classes and images alone make the interval wider than half of what it is.
NOT_BY_SEEDS = "not by seeds alone"

CAPTION = (
    "`difference`: first − second, paired by photo; for Deletion less is better. Interval: 95 %, over seeds and over"
    " classes with their photos; p: of the same rule, two-sided, corrected by Holm over all pairs of one metric, which"
    f" is one table here (docs/protocols.md, Statistics). Rows are separated if p < {LEVEL:g}. Effect size: mean over"
    " sample standard deviation of the differences of photos. Spread: √(sd² + sd²) over seeds. Half as wide with: seeds"
    " of each row at which the interval would be half as wide, from the variances seen here; a rough guide where seeds"
    " are few. "
)


def compared(run: Run) -> list[tuple[str, str]]:
    """The pairs: explainers among themselves, each with `center`, rows of the ablation among themselves."""
    ablation = [row for row in rows.ABLATION if row in run.settings.ablations]
    return [
        *combinations(rows.EXPLAINERS, 2),
        *((row, "center") for row in rows.EXPLAINERS),
        *combinations(ablation, 2),
    ]


def table(run: Run) -> pd.DataFrame:
    """One line per metric and pair; pairs without a common seed and image are left out, the notes name what lacks.

    What needs more seeds or classes than there are (:func:`ala.report.statistics.difference`) is empty.
    """
    parts = [_of_metric(run, metric) for metric in SOURCES]
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _of_metric(run: Run, metric: str) -> pd.DataFrame:
    lines = []
    for first, second in compared(run):
        pair = common(run, first, second, metric)
        if pair is None:
            continue
        means = [side.mean(axis=1) for side in (pair.first, pair.second)]  # (seeds,)
        n_seeds, n_images = pair.first.shape
        effect_size, biserial = effect_sizes(pair.first.mean(axis=0) - pair.second.mean(axis=0))
        methods = dict.fromkeys(rows.scored_as(row, run.settings) for row in (first, second))
        commands = dict.fromkeys(rows.command(method, run.settings.seeds, run.settings) for method in methods)
        line: dict[str, Any] = {
            "metric": metric, "first": first, "second": second, "n_seeds": n_seeds, "n_images": n_images,
            "first_mean": float(means[0].mean()), "second_mean": float(means[1].mean()),
            "difference": float(means[0].mean() - means[1].mean()),
            "effect_size": effect_size, "rank_biserial": biserial,
            "spread": float(np.hypot(*(side.std(ddof=1) for side in means))) if n_seeds > 1 else np.nan,
            "command": " && ".join(commands),
        }  # fmt: skip
        if (tested := difference(*pair)) is not None:
            halved = tested.seeds_to_halve
            line |= {"ci_low": tested.low, "ci_high": tested.high, "p": tested.p,
                     "seeds_to_halve": NOT_BY_SEEDS if halved is None else str(halved)}  # fmt: skip
        lines.append(line)
    frame = pd.DataFrame(lines, columns=COLUMNS)
    frame["p_holm"] = holm(frame["p"].to_numpy(float))
    frame["separated"] = np.where(frame["p_holm"] < LEVEL, "yes", "no")
    return frame


def markdown(frame: pd.DataFrame) -> str:
    """The table, rounded, one part per metric, with its caption."""
    parts = ["# Paired differences", CAPTION]
    head = ["first", "second", "seeds", "photos", "difference", "95 % interval", "effect size", "p (Holm)", "spread",
            "separated", "half as wide with"]  # fmt: skip
    for metric, title in TITLES.items():
        lines = [_cells(line) for line in frame[frame["metric"] == metric].to_dict("records")]
        if lines:
            parts += [f"## {title}", grid(head, lines, left=2)]
    return "\n\n".join([*parts, "Full precision: [paired.csv](paired.csv)."]) + "\n"


def _cells(line: dict[Hashable, Any]) -> list[str]:
    """The cells of one pair as text."""
    return [
        rows.LABELS[line["first"]], rows.LABELS[line["second"]], str(line["n_seeds"]), str(line["n_images"]),
        number(line["difference"]), f"[{number(line['ci_low'])}, {number(line['ci_high'])}]",
        number(line["effect_size"], 2), ABSENT if pd.isna(line["p_holm"]) else p_text(line["p_holm"]),
        number(line["spread"]), str(line["separated"]), _seeds(line["seeds_to_halve"]),
    ]  # fmt: skip


def _seeds(value: object) -> str:
    if not isinstance(value, str):
        return ABSENT
    if value == NOT_BY_SEEDS:
        return value
    return f"{MOST_SEEDS} seeds or more" if int(value) >= MOST_SEEDS else f"{value} seeds"
