"""How often the rule behind the verdicts calls a true null, and which differences of the slides it would find.

    dvc repro && python -m benchmarks.calibration --estimate     (the variance components of the run, then the table)
    python -m benchmarks.calibration                             (the table, from the components that are there)

A run is simulated as score = seed + class + seed by class + image + rest, all normal and of the size that the run of
the miniature has, row by row and metric by metric; its claims are tested as `ala.report.claims` tests them, so that
rows are shared between claims as there. `--estimate` writes benchmarks/results/variance-components-mini.csv, and
seed-correlation-mini.csv beside it: whether trainings that share the number of their seed are alike. Both ways write
benchmarks/results/calibration.csv and put its table into docs/protocols.md, between two markers.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import typer

from ala.config import load
from ala.report import claims, slides
from ala.report.gather import gather
from ala.report.readme import update
from ala.report.render import grid
from ala.report.rows import rows_of
from ala.report.run import Run
from ala.report.slides import Claim
from ala.report.statistics import LEVEL, holm, p_value, variance_of
from ala.report.summary import METRICS as COLUMNS
from ala.report.text import text_of
from ala.utils.errors import UserError, reported
from ala.utils.progress import track
from ala.utils.seeds import numpy_generator

COMPONENTS = Path("benchmarks/results/variance-components-mini.csv")
CORRELATION = Path("benchmarks/results/seed-correlation-mini.csv")
RESULTS = Path("benchmarks/results/calibration.csv")
ROWS = ("i", "ii", "iii", "iv", "fcam", "abn", "rise", "center")
#: ID is computed from the two before it.
METRICS = ("miou", "insertion", "deletion", "area")
EFFECTS = ("seed", "class", "seed_class", "image", "rest")
#: Printed by the slides, but no claim of theirs: the smallest difference that they print for the parts of ALA.
PRINTED = Claim("ii", "iii", "ablation", "insertion")


#: Rows whose insertion and deletion are of the main model.
ON_MAIN = {"iii", "rise", "center"}
#: What the second half of the table assumes.
TRUE = "the slides' values"


class Size(NamedTuple):
    """Classes, test images of each, and how many of these are perturbed and explained by RISE."""

    classes: int
    images: int
    subset: int


SIZES = {"mini": Size(10, 29, 3), "paper": Size(200, 29, 5)}

#: What is changed of the components as seen: factors of the standard deviations; `tails` draws seed effects from
#: Student's t with 3 degrees of freedom, scaled to the same variance.
SCENARIOS: dict[str, dict[str, float]] = {
    "as seen": {},
    "seed effects 3 times as large": {"seed": 3},
    "seeds without effect": {"seed": 0, "seed_class": 0},
    "no class effects": {"class": 0, "seed_class": 0},
    "seed effects with heavy tails": {"tails": 1},
}

#: Scores `(runs, seeds, images)` by row and metric.
Scores = dict[tuple[str, str], np.ndarray]


def components(run: Run) -> pd.DataFrame:
    """Standard deviation of each effect of :data:`EFFECTS`, by metric and row, by the method of moments.

    Class and image effects are those of a row against the others: what all rows have in common cancels out in every
    difference. A row is estimated on its own images, against the rows that have all of them; estimates below 0 are 0.
    """
    lines = []
    for metric in METRICS:
        tables = {row: table for row in ROWS if (table := _table(run, row, metric)) is not None}
        for row, (own, _) in tables.items():
            ids = own.columns
            others = {name: scores[ids] for name, (scores, _) in tables.items() if set(ids) <= set(scores.columns)}
            labels = tables[row][1].loc[ids].to_numpy()
            values = np.stack([frame.to_numpy() for frame in others.values()])  # (rows, seeds, images)
            found = _moments(values, labels)[list(others).index(row)]
            lines.append({"metric": metric, "row": row, **dict(zip(EFFECTS, np.sqrt(found), strict=True))})
    return pd.DataFrame(lines)


def seed_correlation(run: Run) -> pd.DataFrame:
    """Correlation of two rows' scores over images and seeds of one number, less the means by image and by seed.

    It is about 0 where a shared number means nothing, and far from it where rows share what the seed decides.
    """
    lines = []
    for metric in METRICS:
        tables = {row: table[0] for row in ROWS if (table := _table(run, row, metric)) is not None}
        for first, second in combinations(tables, 2):
            ids = tables[first].columns.intersection(tables[second].columns)
            rest = []
            for row in (first, second):
                values = tables[row][ids].to_numpy()  # (seeds, images)
                rest.append(values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean())
            scale = float(np.sqrt((rest[0] ** 2).sum() * (rest[1] ** 2).sum()))
            if scale > 0:  # a baseline map's IoU is the same for all seeds
                same = {first, second} <= ON_MAIN and metric in ("insertion", "deletion")
                lines.append({"metric": metric, "first": first, "second": second, "same_model": same,
                              "correlation": float((rest[0] * rest[1]).sum()) / scale})  # fmt: skip
    return pd.DataFrame(lines)


def _table(run: Run, row: str, metric: str) -> tuple[pd.DataFrame, pd.Series] | None:
    """Scores, seeds x image ids, of the images that every seed has, and the images' classes; None where not run."""
    if row not in run.rows:
        return None
    series = {seed: values for seed, values in run.of(row, metric).items() if len(values)}
    return (pd.DataFrame(series).dropna().T, run.labels(row)) if series else None


def _moments(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Variances `(rows, effects)` from scores `(rows, seeds, images)` of classes of (nearly) one size."""
    rows, seeds, images = values.shape
    share = np.eye(labels.max() + 1)[labels]
    share = share[:, share.any(axis=0)]  # (images, classes)
    classes, each = share.shape[1], images / share.shape[1]
    by_class = values @ share / share.sum(axis=0)  # (rows, seeds, classes)

    within = values - by_class @ share.T
    within = within - within.mean(axis=1, keepdims=True)
    rest = (within**2).sum(axis=(1, 2)) / ((seeds - 1) * (images - classes))  # (rows,)
    cross = by_class - by_class.mean(axis=1, keepdims=True)
    cross = cross - cross.mean(axis=2, keepdims=True)
    crossed = (cross**2).sum(axis=(1, 2)) / ((seeds - 1) * (classes - 1))
    seed = by_class.mean(axis=2).var(axis=1, ddof=1) - crossed / classes

    # Row effects less the mean of all rows have the variance v (1 - 2/R) + mean(v)/R: solved for v.
    apart = values.mean(axis=1) - values.mean(axis=(0, 1))  # (rows, images)
    apart_class = apart @ share / share.sum(axis=0)
    mixing = np.eye(rows) * (1 - 2 / rows) + 1 / rows**2
    inner = ((apart - apart_class @ share.T) ** 2).sum(axis=1) / (images - classes)
    image_rest = np.linalg.lstsq(mixing, inner)[0]
    outer = np.linalg.lstsq(mixing, apart_class.var(axis=1, ddof=1))[0]
    found = [seed, outer - image_rest / each - (crossed - rest / each) / seeds, crossed - rest / each,
             image_rest - rest / seeds, rest]  # fmt: skip
    return np.maximum(np.stack(found, axis=1), 0)


def simulate(
    parts: pd.DataFrame, size: Size, seeds: int, runs: int, rng: np.random.Generator, scenario: str = "as seen",
    printed: bool = False,
) -> Scores:  # fmt: skip
    """Scores of `runs` runs in which all rows are equally good, or as good as the slides' values where `printed`."""
    factors = SCENARIOS[scenario]
    labels, chosen = images_of(size)
    scores: Scores = {}
    for line in parts.to_dict("records"):
        row, metric = str(line["row"]), str(line["metric"])
        whole = metric == "area" or (metric == "miou" and row != "rise")
        mine = labels if whole else labels[chosen]
        seed, group, cross, image, rest = (line[name] * factors.get(name, 1) for name in EFFECTS)
        tailed = rng.standard_t(3, (runs, seeds, 1)) / 3**0.5 if "tails" in factors else None
        values = seed * (rng.standard_normal((runs, seeds, 1)) if tailed is None else tailed)
        by_class = group * rng.standard_normal((runs, 1, size.classes))
        by_class = by_class + cross * rng.standard_normal((runs, seeds, size.classes))
        values = values + by_class[..., mine] + image * rng.standard_normal((runs, 1, len(mine)))
        values = values + rest * rng.standard_normal((runs, seeds, len(mine)))
        scores[row, metric] = values + (_printed(row, metric) if printed else 0.0)
    for row in ROWS:
        scores[row, "id"] = scores[row, "insertion"] - scores[row, "deletion"]
    for metric in (*METRICS, "id"):
        if ("iii", metric) in scores:
            scores["ala", metric] = scores["iii", metric]
    return scores


def images_of(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """The class of each test image, and the indices of those that are perturbed."""
    chosen = np.tile(np.arange(size.images) < size.subset, size.classes)
    return np.repeat(np.arange(size.classes), size.images), np.flatnonzero(chosen)


def _printed(row: str, metric: str) -> float:
    known = slides.printed("main") | slides.printed("ablation")
    return known[row][metric].mean if row in known and metric in slides.METRICS else 0.0


def sides(scores: Scores, claim: Claim, size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of both rows on their common images, better is larger, and the classes."""
    labels, chosen = images_of(size)
    both = [COLUMNS[claim.metric].sign * scores[row, claim.metric] for row in (claim.higher, claim.lower)]
    fewest = min(side.shape[-1] for side in both)
    if fewest < len(labels):
        both = [side[..., chosen] if side.shape[-1] == len(labels) else side for side in both]
        labels = labels[chosen]
    return both[0], both[1], labels


@cache
def _nothing_run() -> Run:
    settings = load()
    return Run(settings, rows_of(settings), {}, {})


def name_of(claim: Claim) -> str:
    """The claim in words."""
    return claims.sentence(_nothing_run(), claim)


@cache
def family() -> list[Claim]:
    """The claims with a difference of their own that a run with all rows tests; the last one, on all metrics, is not
    among them."""
    return claims.claimed(_nothing_run())


def tested(scores: Scores, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """p values, not corrected, and directions `(runs, claims)`: :func:`family`, then "every metric is worst"."""

    def test(claim: Claim) -> tuple[np.ndarray, np.ndarray]:
        first, second, labels = sides(scores, claim, size)
        mean = first.mean(axis=(-2, -1)) - second.mean(axis=(-2, -1))
        return p_value(mean, variance_of(first, second, labels)), np.sign(mean)

    found = [test(claim) for claim in family()]
    eight = [test(Claim(row, "i", "ablation", metric)) for metric in slides.METRICS for row in ("ii", "iii")]
    found.append(claims.every(*(np.stack(part, axis=-1) for part in reversed(list(zip(*eight, strict=True))))))
    p, direction = (np.stack(part, axis=-1) for part in zip(*found, strict=True))
    return p, direction


def null(parts: pd.DataFrame, size: Size, seeds: int, runs: int, rng: np.random.Generator, scenario: str) -> np.ndarray:
    """Whether any claim of a run without differences is called, `(runs,)`."""
    p, _ = tested(simulate(parts, size, seeds, runs, rng, scenario), size)
    return (holm(p) < LEVEL).any(axis=-1)


def power(parts: pd.DataFrame, size: Size, seeds: int, runs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Whether each claim that the slides print is found, `(runs,)`, at the first step of Holm's correction: what the
    other claims say does not matter."""
    scores = simulate(parts, size, seeds, runs, rng, printed=True)
    p, direction = tested(scores, size)
    hits = (p < LEVEL / p.shape[1]) & (direction > 0)
    found = {name_of(claim): hits[:, place] for place, claim in enumerate(family()) if claim.table is not None}
    found["Without SBN (i) every metric is worst"] = hits[:, -1]
    first, second, labels = sides(scores, PRINTED, size)
    mean = first.mean(axis=(-2, -1)) - second.mean(axis=(-2, -1))
    found[name_of(PRINTED)] = (p_value(mean, variance_of(first, second, labels)) < LEVEL / p.shape[1]) & (mean > 0)
    return found


def measure(parts: pd.DataFrame, runs: int) -> pd.DataFrame:
    """One line per size, number of seeds and question: the share of runs that call it, and its standard error."""
    lines = []
    questions = [("mini", seeds, "as seen", runs) for seeds in (2, 3, 5, 10)]
    questions += [("mini", 3, scenario, runs) for scenario in SCENARIOS if scenario != "as seen"]
    questions += [("paper", 3, scenario, runs // 4) for scenario in ("as seen", "seed effects 3 times as large")]
    for name, seeds, scenario, wanted in questions:
        found = _in_parts(null, (parts, SIZES[name], seeds), wanted, name, scenario)
        lines.append(_line(name, seeds, scenario, "any of the claims, none of them true", 0.0, np.concatenate(found)))
    of_claim = {name_of(claim): claim for claim in [*family(), PRINTED]}
    for name, seeds, wanted in (("mini", 3, runs), ("mini", 5, runs), ("mini", 10, runs), ("paper", 3, runs // 4)):
        parts_found = _in_parts(power, (parts, SIZES[name], seeds), wanted, name)
        for text in parts_found[0]:
            claim = of_claim.get(text)
            gap = np.nan if claim is None else COLUMNS[claim.metric].sign * (
                _printed(claim.higher, claim.metric) - _printed(claim.lower, claim.metric))  # fmt: skip
            hits = np.concatenate([found[text] for found in parts_found])
            lines.append(_line(name, seeds, TRUE, text, gap, hits))
    return pd.DataFrame(lines)


def _in_parts(function: Any, given: tuple[pd.DataFrame, Size, int], runs: int, *names: str) -> list[Any]:
    """`function` for `runs` runs, at most 50 of them in memory; each part has a random stream of its own."""
    last = names[1:]  # the scenario, if any
    seeds, at_once = given[2], 50
    return [
        function(*given, at_once, numpy_generator(0, "calibration", function.__name__, *names, seeds, place), *last)
        for place in track(range(-(-runs // at_once)), f"{names[0]}, {seeds} seeds", unit="part")
    ]


def _line(size: str, seeds: int, scenario: str, what: str, difference: float, hits: np.ndarray) -> dict[str, object]:
    share = float(hits.mean())
    return {"images": size, "seeds": seeds, "true": scenario, "called": what, "difference": difference,
            "runs": len(hits), "share": share, "error": (share * (1 - share) / len(hits)) ** 0.5}  # fmt: skip


def summary(table: pd.DataFrame) -> str:
    """Two Markdown tables: false calls of a whole run, then the power for each printed difference."""
    nulls, printed = table[table["true"] != TRUE], table[table["true"] == TRUE]
    sizes = {name: f"{size.classes} classes of {size.images} images" for name, size in SIZES.items()}
    first = [[sizes[line["images"]], str(line["seeds"]), line["true"], str(line["runs"]),
              f"{line['share']:.3f} ± {line['error']:.3f}"] for line in nulls.to_dict("records")]  # fmt: skip
    found = printed.pivot_table(index="called", columns=["images", "seeds"], values="share")
    gaps = printed.groupby("called", sort=False)["difference"].max()
    second = [
        [str(text), text_of(float(gaps[text])), *(f"{share:.2f}" for share in found.loc[text])] for text in gaps.index
    ]
    heads = [f"{'*mini*' if images == 'mini' else 'CUB'}, {seeds} seeds" for images, seeds in found.columns]
    return "\n\n".join([
        grid(["images", "seeds", "components", "runs", "a true null called"], first, left=1),
        grid(["claim", "difference", *heads], second, left=1),
    ])  # fmt: skip


def main(
    estimate: Annotated[bool, typer.Option(help="First estimate the components from the scores of the run.")] = False,
    runs: Annotated[int, typer.Option(help="Simulated runs of the miniature; of CUB's size a quarter of them.")] = 2000,
    out: Annotated[Path, typer.Option(help="The table.")] = RESULTS,
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/protocols.md"),
) -> None:
    """Measure false calls and power of the rule behind the verdicts; see the top of this file."""
    with reported():
        if estimate:
            run = gather(load(), Path("scores"), Path("models"), Path("data"), Path("maps"))
            if not run.summaries:
                raise UserError("scores/ holds no scores; run `dvc repro` first, or leave out --estimate")
            for found, path in ((components(run), COMPONENTS), (seed_correlation(run), CORRELATION)):
                found.to_csv(path, index=False, float_format="%.4f", lineterminator="\n")
        table = measure(pd.read_csv(COMPONENTS), runs)
        table.to_csv(out, index=False, float_format="%.4g", lineterminator="\n")
        update(page, summary(pd.read_csv(out)), "calibration")


if __name__ == "__main__":
    typer.run(main)
