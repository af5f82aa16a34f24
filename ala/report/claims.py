"""What the paper claims and what this run says: differences, their spread and interval, and a computed verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ala.report import rows, slides
from ala.report.run import Run
from ala.runtime.seeds import numpy_generator

#: A spread from fewer seeds settles nothing.
MIN_SEEDS = 3
RESAMPLES = 2000
HOLDS, FAILS, OPEN, NOT_RUN = "holds", "does not hold", "cannot be told", "not run"

COLUMNS = [
    "claim", "higher", "lower", "metric", "n_seeds", "n_images", "higher_mean", "lower_mean", "difference",
    "spread", "ci_low", "ci_high", "paper_difference", "verdict", "reason",
]  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """`higher` is above `lower` in mean IoU (mean + std rule); `table` names the slides' table with both, if any."""

    higher: str
    lower: str
    table: str | None = None

    def __str__(self) -> str:
        return f"{rows.LABELS[self.higher]} above {rows.LABELS[self.lower]}"


def claimed(run: Run) -> list[Claim]:
    """The claims that this run's rows can test: the slides' order of methods, (iii) on top, learned above `center`."""
    claims = [Claim("ala", "fcam", "main"), Claim("fcam", "rise", "main")]
    if "iii" in run.settings.ablations:
        others = [row for row in rows.ABLATION if row != "iii" and row in run.settings.ablations]
        claims += [Claim("iii", row, "ablation") for row in others]
    return claims + [Claim(row, "center") for row in ("ala", "fcam", "abn")]


def table(run: Run) -> pd.DataFrame:
    """One line per claim, in the columns of :data:`COLUMNS`; see :func:`compare` for what stands in them."""
    return pd.DataFrame([compare(run, claim) for claim in claimed(run)], columns=COLUMNS, dtype=object)


def compare(run: Run, claim: Claim) -> dict[str, object]:
    """Test one claim on the seeds and photos that both sides share.

    Means are over those photos, then over seeds. `spread` is sqrt(sd_higher² + sd_lower²) with sample standard
    deviations over seeds. `ci_low`, `ci_high`: 95 % percentile bootstrap over photos (scipy) of the mean paired
    difference, each photo's IoU being averaged over seeds first. The verdict is `holds` where the difference is above
    the spread and the whole interval above 0, `does not hold` where it is below -spread and the whole interval
    below 0, else, or with fewer than :data:`MIN_SEEDS` seeds, `cannot be told`.
    """
    line: dict[str, object] = dict.fromkeys(COLUMNS)
    line |= {"claim": str(claim), "higher": claim.higher, "lower": claim.lower, "metric": "miou"}
    if claim.table is not None:
        paper = slides.printed(claim.table)
        if claim.higher in paper and claim.lower in paper:
            line["paper_difference"] = paper[claim.higher]["miou"].mean - paper[claim.lower]["miou"].mean
    pair = _common(run, claim)
    if pair is None:
        line |= {"n_seeds": 0, "n_images": 0, "verdict": NOT_RUN, "reason": "no seed was run for both"}
        return line
    higher, lower = pair
    n_seeds, n_images = higher.shape
    sides = [side.mean(axis=1) for side in (higher, lower)]  # (seeds,)
    difference = float(sides[0].mean() - sides[1].mean())
    spread = float(np.hypot(*(side.std(ddof=1) for side in sides))) if n_seeds > 1 else None
    low, high = _interval(higher.mean(axis=0) - lower.mean(axis=0), claim)
    verdict, reason = judge(difference, spread, low, high, n_seeds)
    line |= {
        "n_seeds": n_seeds,
        "n_images": n_images,
        "higher_mean": float(sides[0].mean()),
        "lower_mean": float(sides[1].mean()),
        "difference": difference,
        "spread": spread,
        "ci_low": low,
        "ci_high": high,
        "verdict": verdict,
        "reason": reason,
    }
    return line


def judge(difference: float, spread: float | None, low: float, high: float, n_seeds: int) -> tuple[str, str]:
    """Verdict and its reason; the rule is told in :func:`compare`."""
    if spread is None or n_seeds < MIN_SEEDS:
        return OPEN, f"{n_seeds} common seed{'s' if n_seeds > 1 else ''}, {MIN_SEEDS} are needed for a spread"
    if difference > spread and low > 0:
        return HOLDS, "difference above the spread over seeds, interval above 0"
    if difference < -spread and high < 0:
        return FAILS, "the other way round: difference below minus the spread, interval below 0"
    if abs(difference) <= spread:
        return OPEN, "difference within the spread over seeds"
    return OPEN, "the interval over photos holds 0"


def _common(run: Run, claim: Claim) -> tuple[np.ndarray, np.ndarray] | None:
    """IoU `(seeds, images)` of both sides on the seeds and photos that both have; None where there are none."""
    sides = [
        {cell.seed: cell.scores.set_index("image_id")["iou_mean_std"].dropna() for cell in run.of(row)}
        for row in (claim.higher, claim.lower)
    ]
    seeds = [seed for seed in sides[0] if seed in sides[1]]
    if not seeds:
        return None
    photos = set.intersection(*(set(side[seed].index) for side in sides for seed in seeds))
    if not photos:
        return None
    order = sorted(photos)
    higher, lower = (np.stack([side[seed].loc[order].to_numpy() for seed in seeds]) for side in sides)
    return higher, lower


def _interval(differences: np.ndarray, claim: Claim) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of `(images,)` paired differences; a point where all are equal."""
    from scipy.stats import bootstrap

    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    result = bootstrap(
        (differences,), np.mean, n_resamples=RESAMPLES, method="percentile", vectorized=True, batch=200,
        rng=numpy_generator(0, "claims", claim.higher, claim.lower),
    )  # fmt: skip
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
