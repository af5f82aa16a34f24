"""Test the paper's claims on this run: differences with intervals, one test each, computed verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ala.report import rows, slides
from ala.report.pairs import SIGNS, TITLES, common
from ala.report.run import Run
from ala.report.statistics import LEVEL, MIN_CLASSES, MIN_SEEDS, difference, holm, p_text

HOLDS, FAILS, OPEN, NOT_RUN = "holds", "does not hold", "cannot be told", "not run"
#: What is true by computation: checked, but no claim that could have come out otherwise.
ARITHMETIC = "arithmetic"

COLUMNS = [
    "claim", "slide", "higher", "lower", "metric", "n_seeds", "n_images", "higher_mean", "lower_mean", "difference",
    "spread", "ci_low", "ci_high", "p", "p_holm", "paper_difference", "verdict", "reason", "command",
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
    """One line per claim, in the columns of :data:`COLUMNS`.

    :func:`compare` tells what is tested. The family of Holm's correction is all claims with a p value. A claim `holds`
    where p_holm < 0.05 and the difference is in the claimed direction, `does not hold` where p_holm < 0.05 and the
    difference is the other way round, else it `cannot be told`. ID = Insertion - Deletion is no claim of this family.
    """
    outcomes = [compare(run, claim) for claim in claimed(run)]
    if {"i", "ii", "iii"} <= set(run.settings.ablations):
        outcomes.append(_worst_without_sbn(run))
    lines = [*judge(outcomes), _id_is_the_difference(run)]
    return pd.DataFrame(lines, columns=COLUMNS, dtype=object)


@dataclass(frozen=True)
class Outcome:
    """A claim's line before its verdict.

    Attributes:
        p: not corrected; NaN where the claim could not be tested.
        direction: +1 where what was seen speaks for the claim, -1 where it speaks against it, 0 for neither.
        why: what the reason says beside the p value.
    """

    line: dict[str, object]
    p: float = math.nan
    direction: int = 0
    why: str = ""


def compare(run: Run, claim: Claim) -> Outcome:
    """Test one claim on the seeds and images that both sides share.

    Means are over those images, then over seeds. `difference` is positive where the claimed direction is seen, so for
    Deletion, where less is better, it is `lower_mean - higher_mean`. `spread` is sqrt(sd_higher² + sd_lower²) with
    sample standard deviations over seeds. `ci_low`, `ci_high`, `p`: :func:`ala.report.statistics.difference`.
    """
    line = _line(run, claim)
    sign = SIGNS[claim.metric]
    if claim.table is not None:
        paper = slides.printed(claim.table)
        if claim.higher in paper and claim.lower in paper:
            printed = [paper[row][claim.metric].mean for row in (claim.higher, claim.lower)]
            line["paper_difference"] = sign * (printed[0] - printed[1])
    pair = common(run, claim.higher, claim.lower, claim.metric)
    if pair is None:
        return _not_run(line, "no seed was run for both")
    sides = [side.mean(axis=1) for side in (pair.first, pair.second)]  # (seeds,)
    n_seeds, n_images = pair.first.shape
    mean = float(sign * (sides[0].mean() - sides[1].mean()))
    line |= {
        "n_seeds": n_seeds,
        "n_images": n_images,
        "higher_mean": float(sides[0].mean()),
        "lower_mean": float(sides[1].mean()),
        "difference": mean,
        "spread": float(np.hypot(*(side.std(ddof=1) for side in sides))) if n_seeds > 1 else None,
    }
    tested = difference(sign * pair.first, sign * pair.second, pair.labels)
    if tested is None:
        return Outcome(line, why=_untested(n_seeds))
    return Outcome(line | {"ci_low": tested.low, "ci_high": tested.high}, tested.p, int(np.sign(mean)))


def judge(outcomes: list[Outcome]) -> list[dict[str, object]]:
    """The lines of one family of claims with corrected p values, verdicts and reasons; see :func:`table`."""
    corrected = holm([outcome.p for outcome in outcomes])
    family = int((~np.isnan(corrected)).sum())
    lines = []
    for outcome, p_holm in zip(outcomes, corrected.tolist(), strict=True):
        line, reasons = dict(outcome.line), [outcome.why]
        if line["verdict"] == NOT_RUN:
            lines.append(line)
            continue
        line["verdict"] = OPEN
        if not math.isnan(p_holm):
            line |= {"p": outcome.p, "p_holm": p_holm}
            after = f"p {p_text(p_holm)} after correction for {family} claims"
            if p_holm < LEVEL:
                line["verdict"] = HOLDS if outcome.direction > 0 else FAILS
            if line["verdict"] == FAILS:
                after = f"the other way round, {after}"
            elif line["verdict"] == OPEN and outcome.p < LEVEL:
                after = f"p {p_text(outcome.p)} by itself, but {after}"
            reasons.insert(0, after)
        lines.append(line | {"reason": "; ".join(filter(None, reasons))})
    return lines


def every(signs: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Test that all of m differences are above 0, from their signs and p values `(..., m)`: p and direction, `(...)`.

    For it speaks only that each is by itself, so its p is the largest (intersection-union test, Berger 1982), 1 if a
    difference is not above 0. Against it speaks that one is below 0, with the smallest p of those times m (Bonferroni).
    Both are two-sided, so that the smaller one is a p value for either direction. NaN where a p is NaN.
    """
    holds = np.where(signs > 0, p, np.maximum(p, 1)).max(axis=-1)
    fails = np.minimum(p.shape[-1] * np.where(signs < 0, p, np.maximum(p, 1)).min(axis=-1), 1)
    return np.minimum(holds, fails), np.where(holds <= fails, 1, -1)


def _worst_without_sbn(run: Run) -> Outcome:
    """Slide 31: without several intermediate features every metric is worst. Eight comparisons; see :func:`every`."""
    parts = [compare(run, Claim(row, "i", "ablation", metric)) for metric in slides.METRICS for row in ("ii", "iii")]
    line = _line(run, Claim("ii iii", "i", None, "all", "31", "Without SBN (i) every metric is worst"), "ii", "iii")
    if any(part.line["verdict"] == NOT_RUN for part in parts):
        return _not_run(line, "a row was not run")
    for name in ("n_seeds", "n_images"):
        line[name] = min(int(str(part.line[name])) for part in parts)
    untested = [part.why for part in parts if math.isnan(part.p)]
    if untested:
        return Outcome(line, why=untested[0])
    signs, p_values = np.array([part.direction for part in parts]), np.array([part.p for part in parts])
    p, direction = every(signs, p_values)
    seen = int(((signs > 0) & (p_values < LEVEL)).sum())
    turned = [part.line for part in parts if part.direction < 0 and len(parts) * part.p < LEVEL]
    named = ", ".join(f"{rows.LABELS[str(one['higher'])]} in {TITLES[str(one['metric'])]}" for one in turned)
    why = f"of 8 comparisons, all of which must hold, {seen} do, each by itself; {len(turned)} are reversed"
    return Outcome(line, float(p), int(direction), why + (f": (i) is better than {named}" if named else ""))


def _id_is_the_difference(run: Run) -> dict[str, object]:
    """Slide 42: ID = Insertion - Deletion. It is computed so; this checks it on every image of every row."""
    gaps = [
        (cell.perturbed["insertion"] - cell.perturbed["deletion"] - cell.perturbed["id"]).abs().max()
        for cell in run.cells.values()
        if len(cell.perturbed)
    ]
    line = _line(run, Claim("all", "all", None, "id", "42", "ID = Insertion − Deletion, photo by photo"))
    line["command"] = "dvc repro report"
    if not gaps:
        return _not_run(line, "no photo was perturbed").line
    largest = float(max(gaps))
    printed = [abs(cells["insertion"].mean - cells["deletion"].mean - cells["id"].mean)
               for name in ("main", "ablation") for cells in slides.printed(name).values()]  # fmt: skip
    return line | {
        "n_seeds": len({seed for _, seed in run.cells}),
        "n_images": sum(len(cell.perturbed) for cell in run.cells.values()),
        "difference": largest,
        "paper_difference": max(printed),
        "verdict": ARITHMETIC if largest < 1e-9 else FAILS,
        "reason": "no claim: ID is computed so; largest gap over all photos and rows; on the slides RISE's printed ID"
        " is further off than rounding",
    }


def _line(run: Run, claim: Claim, *more: str) -> dict[str, object]:
    """An empty line of the table with what the claim itself says; `more` rows than its two are behind it."""
    named = [row for row in (claim.higher, claim.lower, *more) if row in rows.LABELS]
    line: dict[str, object] = dict.fromkeys(COLUMNS)
    return line | {"claim": str(claim), "slide": claim.slide, "higher": claim.higher, "lower": claim.lower,
                   "metric": claim.metric, "command": _command(run, *named)}  # fmt: skip


def _not_run(line: dict[str, object], why: str) -> Outcome:
    return Outcome(line | {"n_seeds": 0, "n_images": 0, "verdict": NOT_RUN, "reason": why})


def _untested(n_seeds: int) -> str:
    if n_seeds < MIN_SEEDS:
        return f"{n_seeds} common seed, {MIN_SEEDS} are needed for a spread"
    return f"fewer than {MIN_CLASSES} classes, so nothing is known of the spread between classes"


def _command(run: Run, *names: str) -> str:
    """The commands that make the scores of these rows again."""
    methods = dict.fromkeys(rows.scored_as(row, run.settings) for row in names)
    commands = dict.fromkeys(rows.command(method, run.settings.seeds, run.settings) for method in methods)
    return " && ".join(commands)
