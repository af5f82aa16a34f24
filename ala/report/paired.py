"""`paired.csv`: every two rows on the same photos, with interval, effect size, corrected test and seeds needed."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ala.report import rows
from ala.report.claims import MIN_SEEDS
from ala.report.markdown import grid, number
from ala.report.pairs import SOURCES, TITLES, common
from ala.report.run import Run
from ala.report.statistics import LEVEL, MOST_SEEDS, POWER, holm, paired, seeds_needed

COLUMNS = [
    "metric", "first", "second", "n_seeds", "n_images", "first_mean", "second_mean", "difference", "ci_low", "ci_high",
    "effect_size", "rank_biserial", "p", "p_holm", "spread", "separated", "seeds_needed", "command",
]  # fmt: skip

CAPTION = (
    "`difference`: first − second, paired by photo, each photo averaged over seeds; for Deletion less is better."
    " Interval: 95 % bootstrap over photos. Effect size: mean over sample standard deviation of the differences."
    " p: Wilcoxon signed-rank, two-sided, corrected by Holm over all pairs of one metric. Such a test knows nothing of"
    " the spread over seeds, so rows count as separated only if"
    f" p < {LEVEL:g} after correction, the difference is above √(sd² + sd²) over seeds, and there are"
    f" {MIN_SEEDS} seeds or more. Seeds needed: of each row, for a t test at {LEVEL:g} with power {POWER:g}, from the"
    " difference and spread seen here; a rough guide where seeds are few. "
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
    """One line per metric and pair; pairs without a common seed and photo are left out, the notes name what lacks."""
    parts = [_of_metric(run, metric) for metric in SOURCES]
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _of_metric(run: Run, metric: str) -> pd.DataFrame:
    lines = []
    for first, second in compared(run):
        pair = common(run, first, second, metric)
        if pair is None:
            continue
        means = [side.mean(axis=1) for side in pair]  # (seeds,)
        test = paired(pair.first.mean(axis=0) - pair.second.mean(axis=0), "paired", metric, first, second)
        n_seeds, n_images = pair.first.shape
        methods = dict.fromkeys(rows.scored_as(row, run.settings) for row in (first, second))
        commands = dict.fromkeys(rows.command(method, run.settings.seeds) for method in methods)
        lines.append(
            {
                "metric": metric, "first": first, "second": second, "n_seeds": n_seeds, "n_images": n_images,
                "first_mean": float(means[0].mean()), "second_mean": float(means[1].mean()),
                "difference": test.mean, "ci_low": test.low, "ci_high": test.high,
                "effect_size": test.effect_size, "rank_biserial": test.rank_biserial, "p": test.p,
                "spread": float(np.hypot(*(side.std(ddof=1) for side in means))) if n_seeds > 1 else np.nan,
                "seeds_needed": seeds_needed(*means), "command": " && ".join(commands),
            }
        )  # fmt: skip
    frame = pd.DataFrame(lines, columns=[name for name in COLUMNS if name not in ("p_holm", "separated")])
    frame["p_holm"] = holm(frame["p"].tolist())
    above = frame["difference"].abs() > frame["spread"]  # false where one seed has no spread
    apart = (frame["p_holm"] < LEVEL) & above & (frame["n_seeds"] >= MIN_SEEDS)
    frame["separated"] = np.where(apart, "yes", "no")
    frame["seeds_needed"] = frame["seeds_needed"].astype("Int64").mask(apart)  # asked of the others only
    return frame


def markdown(frame: pd.DataFrame) -> str:
    """The table, rounded, one part per metric, with its caption."""
    parts = ["# Paired differences", CAPTION]
    head = ["first", "second", "seeds", "photos", "difference", "95 % interval", "effect size", "p (Holm)", "spread",
            "separated", "seeds needed"]  # fmt: skip
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
        number(line["effect_size"], 2), "< 0.001" if line["p_holm"] < 0.001 else number(line["p_holm"]),
        number(line["spread"]), str(line["separated"]), _seeds(line["seeds_needed"]),
    ]  # fmt: skip


def _seeds(value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return "–"
    return f"{MOST_SEEDS} or more" if int(str(value)) >= MOST_SEEDS else str(value)
