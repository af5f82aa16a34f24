"""What the paper claims and what this run says: differences, their spread and interval, and a computed verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ala.report import rows, slides
from ala.report.pairs import SIGNS, TITLES, Pair, common
from ala.report.run import Run
from ala.report.statistics import interval

#: A spread from fewer seeds settles nothing.
MIN_SEEDS = 3
HOLDS, FAILS, OPEN, NOT_RUN = "holds", "does not hold", "cannot be told", "not run"

COLUMNS = [
    "claim", "slide", "higher", "lower", "metric", "n_seeds", "n_images", "higher_mean", "lower_mean", "difference",
    "spread", "ci_low", "ci_high", "paper_difference", "verdict", "reason", "command",
]  # fmt: skip


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

    def __str__(self) -> str:
        if self.text is not None:
            return self.text
        return f"{rows.LABELS[self.higher]} better than {rows.LABELS[self.lower]} in {TITLES[self.metric]}"


def claimed(run: Run) -> list[Claim]:
    """The comparisons that this run's rows can test: the slides' first, then learned methods against `center`."""
    found = [
        Claim(higher, lower, "main", metric, "26")
        for metric in slides.METRICS
        for higher, lower in (("ala", "fcam"), ("fcam", "rise"))
    ]
    asked = run.settings.ablations
    if {"i", "ii"} <= set(asked):
        text = "SBN contributes most: without AEA (ii) mean IoU is better than without SBN (i)"
        found.append(Claim("ii", "i", "ablation", "miou", "31", text))
    if "iii" in asked:
        found += [
            Claim("iii", row, "ablation" if row != "iv" else None, "miou", "31" if row != "iv" else "ours")
            for row in rows.ABLATION
            if row != "iii" and row in asked
        ]
    if {"ii", "iii"} <= set(asked):
        found.append(Claim("iii", "ii", None, "area", "10", "AEA widens the attended region: (iii) against (ii)"))
    return found + [Claim(row, "center") for row in ("ala", "fcam", "abn")]


def table(run: Run) -> pd.DataFrame:
    """One line per claim, in the columns of :data:`COLUMNS`; see :func:`compare` for what stands in them."""
    lines = [compare(run, claim) for claim in claimed(run)]
    if {"i", "ii", "iii"} <= set(run.settings.ablations):
        lines.append(_worst_without_sbn(run))
    lines.append(_id_is_the_difference(run))
    return pd.DataFrame(lines, columns=COLUMNS, dtype=object)


def compare(run: Run, claim: Claim) -> dict[str, object]:
    """Test one claim on the seeds and photos that both sides share.

    Means are over those photos, then over seeds. `difference` is positive where the claimed direction is seen, so for
    Deletion, where less is better, it is `lower_mean - higher_mean`. `spread` is sqrt(sd_higher² + sd_lower²) with
    sample standard deviations over seeds. `ci_low`, `ci_high`: 95 % percentile bootstrap over photos (scipy) of the
    mean paired difference, each photo's value being averaged over seeds first. The verdict is `holds` where the
    difference is above the spread and the whole interval above 0, `does not hold` where it is below -spread and the
    whole interval below 0, else, or with fewer than :data:`MIN_SEEDS` seeds, `cannot be told`.
    """
    line: dict[str, object] = dict.fromkeys(COLUMNS)
    line |= {"claim": str(claim), "slide": claim.slide, "higher": claim.higher, "lower": claim.lower,
             "metric": claim.metric, "command": _command(run, claim.higher, claim.lower)}  # fmt: skip
    sign = SIGNS[claim.metric]
    if claim.table is not None:
        paper = slides.printed(claim.table)
        if claim.higher in paper and claim.lower in paper:
            printed = [paper[row][claim.metric].mean for row in (claim.higher, claim.lower)]
            line["paper_difference"] = sign * (printed[0] - printed[1])
    pair = common(run, claim.higher, claim.lower, claim.metric)
    if pair is None:
        line |= {"n_seeds": 0, "n_images": 0, "verdict": NOT_RUN, "reason": "no seed was run for both"}
        return line
    difference, spread, low, high = gain(pair, sign, claim)
    n_seeds, n_images = pair.first.shape
    verdict, reason = judge(difference, spread, low, high, n_seeds)
    line |= {
        "n_seeds": n_seeds,
        "n_images": n_images,
        "higher_mean": float(pair.first.mean()),
        "lower_mean": float(pair.second.mean()),
        "difference": difference,
        "spread": spread,
        "ci_low": low,
        "ci_high": high,
        "verdict": verdict,
        "reason": reason,
    }
    return line


def gain(pair: Pair, sign: int, claim: Claim) -> tuple[float, float | None, float, float]:
    """Difference in the claimed direction, its spread over seeds, and its interval over photos."""
    sides = [side.mean(axis=1) for side in pair]  # (seeds,)
    spread = float(np.hypot(*(side.std(ddof=1) for side in sides))) if len(sides[0]) > 1 else None
    names = (claim.higher, claim.lower) if claim.metric == "miou" else (claim.higher, claim.lower, claim.metric)
    low, high = interval(sign * (pair.first.mean(axis=0) - pair.second.mean(axis=0)), *names)
    return float(sign * (sides[0].mean() - sides[1].mean())), spread, low, high


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


def _worst_without_sbn(run: Run) -> dict[str, object]:
    """Slide 31: without several intermediate features every metric is worst. Eight comparisons; all must hold."""
    parts = [compare(run, Claim(row, "i", "ablation", metric)) for metric in slides.METRICS for row in ("ii", "iii")]
    verdicts = [part["verdict"] for part in parts]
    line: dict[str, object] = dict.fromkeys(COLUMNS)
    line |= {"claim": "Without SBN (i) every metric is worst", "slide": "31", "higher": "ii iii", "lower": "i",
             "metric": "all", "command": _command(run, "i", "ii", "iii")}  # fmt: skip
    if NOT_RUN in verdicts:
        return line | {"n_seeds": 0, "n_images": 0, "verdict": NOT_RUN, "reason": "a row was not run"}
    counts = {name: verdicts.count(name) for name in (HOLDS, FAILS, OPEN)}
    verdict = FAILS if counts[FAILS] else HOLDS if not counts[OPEN] else OPEN
    failed = [f"{part['higher']} in {TITLES[str(part['metric'])]}" for part in parts if part["verdict"] == FAILS]
    reason = f"of 8 comparisons {counts[HOLDS]} hold, {counts[FAILS]} do not, {counts[OPEN]} cannot be told"
    return line | {
        "n_seeds": min(int(str(part["n_seeds"])) for part in parts),
        "n_images": min(int(str(part["n_images"])) for part in parts),
        "verdict": verdict,
        "reason": reason + (f"; (i) is better than {', '.join(failed)}" if failed else ""),
    }


def _id_is_the_difference(run: Run) -> dict[str, object]:
    """Slide 42: ID = Insertion - Deletion, checked on every photo of every row."""
    gaps = [
        (cell.perturbed["insertion"] - cell.perturbed["deletion"] - cell.perturbed["id"]).abs().max()
        for cell in run.cells.values()
        if len(cell.perturbed)
    ]
    line: dict[str, object] = dict.fromkeys(COLUMNS)
    line |= {"claim": "ID = Insertion − Deletion, photo by photo", "slide": "42", "higher": "all", "lower": "all",
             "metric": "id", "command": "dvc repro report"}  # fmt: skip
    if not gaps:
        return line | {"n_seeds": 0, "n_images": 0, "verdict": NOT_RUN, "reason": "no photo was perturbed"}
    largest = float(max(gaps))
    printed = [abs(cells["insertion"].mean - cells["deletion"].mean - cells["id"].mean)
               for name in ("main", "ablation") for cells in slides.printed(name).values()]  # fmt: skip
    return line | {
        "n_seeds": len({seed for _, seed in run.cells}),
        "n_images": sum(len(cell.perturbed) for cell in run.cells.values()),
        "difference": largest,
        "paper_difference": max(printed),
        "verdict": HOLDS if largest < 1e-9 else FAILS,
        "reason": "largest gap over all photos and rows; on the slides RISE's printed ID is further off than rounding",
    }


def _command(run: Run, *names: str) -> str:
    """The commands that make the scores of these rows again."""
    methods = dict.fromkeys(rows.scored_as(row, run.settings) for row in names)
    commands = dict.fromkeys(rows.command(method, run.settings.seeds) for method in methods)
    return " && ".join(commands)
