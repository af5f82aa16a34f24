"""Test the paper's claims on this run: differences with intervals, one test each, computed verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ala.config.schema import ROWS
from ala.report import slides
from ala.report.run import Run
from ala.report.slides import Claim
from ala.report.statistics import LEVEL, MIN_CLASSES, MIN_SEEDS, difference, holm, p_text
from ala.report.summary import METRICS
from ala.report.table import Table
from ala.report.text import NOT_RUN

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"
#: What is true by computation: checked, but no claim that could have come out otherwise.
ARITHMETIC = "arithmetic"

COLUMNS = [
    "claim", "slide", "higher", "lower", "metric", "n_seeds", "n_images", "higher_mean", "lower_mean", "difference",
    "spread", "ci_low", "ci_high", "p", "p_holm", "paper_difference", "verdict", "reason", "command",
]  # fmt: skip


#: How the claims are judged.
CAPTION = (
    "Differences on the seeds and images that both sides have, positive where the claimed direction is seen. Mean"
    " IoU by the mean + std rule, Insertion and Deletion by the official protocol; attended area: share of pixels"
    " above half of the map's range. Spread: √(sd² + sd²) over seeds. Interval: 95 %, over seeds and over classes with"
    " their images; p: of the same rule, two-sided, corrected by Holm over all claims that have one"
    f" (docs/protocols.md, Statistics). `{HOLDS}`: p < {LEVEL:g} after correction, in the claimed direction;"
    f" `{FAILS}`: the same the other way round; `{OPEN}`: neither. A claim on every metric has the"
    " largest p of its comparisons, since all must hold; one that is reversed, corrected for their number, refutes it."
    f" `{ARITHMETIC}`: true by computation, checked and not judged."
)


def claimed(run: Run) -> list[Claim]:
    """The comparisons that this run's rows can test; one on the ablation needs its rows in `methods`."""
    missing = [row for row in ROWS if row not in run.rows]
    return [claim for claim in slides.claims() if not {claim.higher, claim.lower} & set(missing)]


def sentence(run: Run, claim: Claim) -> str:
    """The claim in words."""
    if claim.text is not None:
        return claim.text
    higher, lower = run.rows.label(claim.higher), run.rows.label(claim.lower)
    return f"{higher} better than {lower} in {METRICS[claim.metric].title}"


def table(run: Run) -> Table:
    """One line per claim, in the columns of :data:`COLUMNS`.

    :func:`compare` tells what is tested. The family of Holm's correction is all claims with a p value. A claim `holds`
    where p_holm < 0.05 and the difference is in the claimed direction, `does not hold` where p_holm < 0.05 and the
    difference is the other way round, else it `cannot be told`. ID = Insertion - Deletion is no claim of this family.
    """
    outcomes = [compare(run, claim) for claim in claimed(run)]
    worst = slides.content()["worst"]
    if {worst["lower"], *worst["higher"]} <= {row.name for row in run.rows}:
        outcomes.append(_worst(run, worst))
    frame = pd.DataFrame([*judge(outcomes), _id_is_the_difference(run)], columns=COLUMNS, dtype=object)
    text = ("slide", "verdict", "difference", "spread", "ci_low", "p_holm", "paper_difference", "n_seeds", "n_images",
            "reason")  # fmt: skip
    lead = ("verdict", "difference", "ci_low", "p_holm", "paper_difference", "higher_mean", "lower_mean")
    return Table("claims", frame, "Claims", CAPTION, text, lead)


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
    sign = METRICS[claim.metric].sign
    if claim.table is not None:
        paper = slides.printed(claim.table)
        if claim.higher in paper and claim.lower in paper:
            printed = [paper[row][claim.metric].mean for row in (claim.higher, claim.lower)]
            line["paper_difference"] = sign * (printed[0] - printed[1])
    pair = run.pair(claim.higher, claim.lower, claim.metric)
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


def _worst(run: Run, claim: Mapping[str, Any]) -> Outcome:
    """Slide 31: a row is the worst in every metric. One comparison per metric and better row; see :func:`every`."""
    lower = claim["lower"]
    parts = [
        compare(run, Claim(row, lower, claim["table"], metric)) for metric in slides.METRICS for row in claim["higher"]
    ]
    line = _line(run, Claim(" ".join(claim["higher"]), lower, None, "all", claim["slide"], claim["text"]))
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
    named = ", ".join(f"{run.rows.label(str(one['higher']))} in {METRICS[str(one['metric'])].title}" for one in turned)
    why = f"of {len(parts)} comparisons, all of which must hold, {seen} do, each by itself; {len(turned)} are reversed"
    why += f": {run.rows.label(lower)} is better than {named}" if named else ""
    return Outcome(line, float(p), int(direction), why)


def _id_is_the_difference(run: Run) -> dict[str, object]:
    """Slide 42: ID = Insertion - Deletion. It is computed so; this checks it on every image of every row."""
    gaps, count = [0.0], 0
    for row in run.rows.methods:
        insertion, deletion, found = (run.of(row, name) for name in ("insertion", "deletion", "id"))
        for seed, values in found.items():
            if len(values):
                gaps.append(float((insertion[seed] - deletion[seed] - values).abs().max()))
                count += len(values)
    line = _line(run, Claim("all", "all", None, "id", "42", "ID = Insertion − Deletion, image by image"))
    line["command"] = "dvc repro report"
    if not count:
        return _not_run(line, "no image was perturbed").line
    printed = {name: abs(cells["insertion"].mean - cells["deletion"].mean - cells["id"].mean)
               for which in ("main", "ablation") for name, cells in slides.printed(which).items()}  # fmt: skip
    return line | {
        "n_seeds": len({seed for _, seed in run.summaries}),
        "n_images": count,
        "difference": max(gaps),
        "paper_difference": max(printed.values()),
        "verdict": ARITHMETIC if max(gaps) < 1e-9 else FAILS,
        "reason": "no claim: ID is computed so; largest gap over all images and rows; on the slides"
        f" {run.rows.label(max(printed, key=printed.__getitem__))}'s printed ID is further off than rounding",
    }


def _line(run: Run, claim: Claim) -> dict[str, object]:
    """An empty line of the table with what the claim itself says."""
    named = f"{claim.higher} {claim.lower}".split()
    line: dict[str, object] = dict.fromkeys(COLUMNS)
    return line | {"claim": sentence(run, claim), "slide": claim.slide, "higher": claim.higher, "lower": claim.lower,
                   "metric": claim.metric, "command": run.rows.commands(named, run.settings.seeds)}  # fmt: skip


def _not_run(line: dict[str, object], why: str) -> Outcome:
    return Outcome(line | {"n_seeds": 0, "n_images": 0, "verdict": NOT_RUN, "reason": why})


def _untested(n_seeds: int) -> str:
    if n_seeds < MIN_SEEDS:
        return f"{n_seeds} common seed, {MIN_SEEDS} are needed for a spread"
    return f"fewer than {MIN_CLASSES} classes, so nothing is known of the spread between classes"
