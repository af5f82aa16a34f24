"""`paired.csv`: every two rows on the same images, with interval, effect size and corrected test."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ala.report import slides
from ala.report.run import Run
from ala.report.statistics import LEVEL, MOST_SEEDS, difference, effect_sizes, holm
from ala.report.summary import TESTED
from ala.report.table import Table

COLUMNS = [
    "metric", "first", "second", "n_seeds", "n_images", "first_mean", "second_mean", "difference", "ci_low", "ci_high",
    "effect_size", "rank_biserial", "p", "p_holm", "spread", "separated", "seeds_to_halve", "command",
]  # fmt: skip

#: Where classes and images alone make the interval wider than half of what it is.
NOT_BY_SEEDS = "not by seeds alone"

CAPTION = (
    "`difference`: first − second, paired by image; for Deletion less is better. Interval: 95 %, over seeds and over"
    " classes with their images; p: of the same rule, two-sided, corrected by Holm over all pairs of one metric, which"
    f" is one table here (docs/protocols.md, Statistics). Rows are separated if p < {LEVEL:g}. Effect size: mean over"
    " sample standard deviation of the differences of images. Spread: √(sd² + sd²) over seeds. Half as wide with: seeds"
    f" of each row at which the interval would be half as wide, at most {MOST_SEEDS}, from the variances seen here; a"
    " rough guide where seeds are few."
)


def compared(run: Run) -> list[tuple[str, str]]:
    """The pairs: explainers among themselves, each with the baseline map, rows of the ablation among themselves."""
    explainers = [row.name for row in run.rows.explainers]
    ablation = [row.name for row in run.rows.ablation if not row.extension]
    baseline = slides.content()["baseline"]
    return [*combinations(explainers, 2), *((name, baseline) for name in explainers), *combinations(ablation, 2)]


def table(run: Run) -> Table:
    """One line per metric and pair; pairs without a common seed and image are left out, the notes name what lacks.

    What needs more seeds or classes than there are (:func:`ala.report.statistics.difference`) is empty.
    """
    frame = pd.concat([_of_metric(run, metric) for metric in TESTED], ignore_index=True)[COLUMNS]
    text = ("first", "second", "n_seeds", "n_images", "difference", "ci_low", "effect_size", "p_holm", "spread",
            "separated", "seeds_to_halve")  # fmt: skip
    lead = ("first", "second", "difference", "ci_low", "p_holm", "effect_size")
    return Table("paired", frame, "Paired differences", CAPTION, text, lead)


def _of_metric(run: Run, metric: str) -> pd.DataFrame:
    lines = []
    for first, second in compared(run):
        pair = run.pair(first, second, metric)
        if pair is None:
            continue
        means = [side.mean(axis=1) for side in (pair.first, pair.second)]  # (seeds,)
        n_seeds, n_images = pair.first.shape
        effect_size, biserial = effect_sizes(pair.first.mean(axis=0) - pair.second.mean(axis=0))
        line: dict[str, Any] = {
            "metric": metric, "first": first, "second": second, "n_seeds": n_seeds, "n_images": n_images,
            "first_mean": float(means[0].mean()), "second_mean": float(means[1].mean()),
            "difference": float(means[0].mean() - means[1].mean()),
            "effect_size": effect_size, "rank_biserial": biserial,
            "spread": float(np.hypot(*(side.std(ddof=1) for side in means))) if n_seeds > 1 else np.nan,
            "command": run.rows.commands((first, second), run.settings.seeds),
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
