"""Count the kinds of error of the worst images, beside the slides' 86 / 12 / 2 (METHODS 6; slide 36)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ala.config.schema import Settings
from ala.metrics.errors import FLAGS, KINDS, MISSED_IOU, TINY_AREA, UNCERTAIN_SHARE, kinds
from ala.metrics.fix_tables import RULES
from ala.report import slides
from ala.report.captions import ground_truth
from ala.report.edge_scores import EdgeScores, command, files
from ala.report.run import Run
from ala.report.table import Table
from ala.report.text import NOT_RUN, text_of

#: `errors.csv`: counts among the worst images by each rule; `seed` is the one whose predictions are sorted.
COLUMNS = [
    "rule", "rho", *KINDS, *(f"paper_{kind}" for kind in KINDS), "paper_worst",
    "n_worst", "n_images", "n_seeds", "seed", *FLAGS, "command", "scores",
]  # fmt: skip


def table(run: Run, found: EdgeScores) -> Table:
    """`errors.csv`: one line per threshold rule and rho, in the columns of :data:`COLUMNS`.

    The worst are those of lowest IoU by that rule, averaged over seeds; the kinds and flags are those of the prediction
    of one seed, the first that was run. Without any run the cells say `not run`.
    """
    settings, paper = run.settings, slides.errors()
    lines = []
    for rule in RULES:
        worst = _worst(found, rule, settings)
        for rho in settings.active.errors.rho:
            line: dict[str, object] = dict.fromkeys(COLUMNS, NOT_RUN)
            line |= {"rule": rule, "rho": rho, "n_seeds": len(found.seeds), "command": command(settings.seeds)}
            line |= {"scores": files(found.seeds, "errors.csv")}
            line |= {f"paper_{kind}": paper[kind] for kind in KINDS} | {"paper_worst": paper["worst"]}
            if worst is not None:
                kind = pd.Series(kinds(worst["fp"].to_numpy(), worst["fn"].to_numpy(), rho))
                line |= {name: int((kind == name).sum()) for name in KINDS}
                line |= {name: int(worst[name].sum()) for name in FLAGS}
                line |= {"n_worst": len(worst), "n_images": found.errors["image_id"].nunique(), "seed": found.seeds[0]}
            lines.append(line)
    frame = pd.DataFrame(lines, columns=COLUMNS, dtype=object)
    text = ("rho", *KINDS, *(f"paper_{kind}" for kind in KINDS), "n_worst", *FLAGS)
    return Table("errors", frame, "Kinds of error", caption(run, frame), text, ("rho", *KINDS, "n_worst"))


def top(run: Run, found: EdgeScores, names: Sequence[str]) -> Table:
    """`error_top.csv`: one line per worst image by the main rule, worst first; no lines where nothing was run.

    `miou` is the mean over seeds and decides which images these are; `iou`, `fp`, `fn`, the kind by each rho and the
    flags are of the prediction at `seed`. `names` are the class names, position k is label k.
    """
    settings = run.settings
    wanted = settings.active.errors.rho
    by_rho = {f"kind_{rho:g}": rho for rho in wanted}
    columns = ["image_id", "class", "miou", "n_seeds", "seed", "iou", "fp", "fn", *by_rho, *FLAGS, "command", "scores"]
    said = "The test images of the lowest IoU with their kind of error by each ρ, worst first."
    lead = ("iou", f"kind_{settings.active.errors.main_rho:g}", "class")
    worst = _worst(found, "mean_std", settings)
    if worst is None:
        return Table("error_top", pd.DataFrame(columns=columns), "The worst images", said, lead=lead)
    main = found.errors[found.errors["rule"] == "mean_std"]
    worst = worst.assign(
        miou=worst["image_id"].map(main.groupby("image_id")["iou"].mean()),
        n_seeds=len(found.seeds),
        command=command(found.seeds),
        scores=files(found.seeds, "errors.csv"),
        **{"class": [names[label] for label in worst["label"]]},
        **{name: kinds(worst["fp"].to_numpy(), worst["fn"].to_numpy(), rho) for name, rho in by_rho.items()},
    )
    return Table("error_top", worst[columns].reset_index(drop=True), "The worst images", said,
                 ("class", "miou", "iou", *by_rho), lead)  # fmt: skip


def caption(run: Run, frame: pd.DataFrame) -> str:
    """What the counts are of, by which criterion, and how far they compare with the slides."""
    settings, first = run.settings, frame.iloc[0]
    data = settings.active.data
    same = settings.profile == "paper"
    return (
        f"The {first['n_worst']} of {first['n_images']} test images with the lowest IoU of `{settings.main_variant}`"
        f" under each rule, mean over {first['n_seeds']} seeds, {ground_truth(data)} at"
        f" {data.input_size}×{data.input_size}; kinds and flags are of the prediction at seed {first['seed']}."
        f" The main ρ is {settings.active.errors.main_rho:g}."
        " OA: fp ≥ ρ·fn; IA: fn ≥ ρ·fp; else Others, with fp and fn as shares of the union."
        " Flags, several may hold: IoU below"
        f" {text_of(MISSED_IOU, 2)} (missed), object below {100 * TINY_AREA:g} % of the image (tiny), more than"
        f" {100 * UNCERTAIN_SHARE:g} % of the union marked by a minority of annotators (uncertain), a part of the"
        " prediction below the object (reflection, for a look by hand). The slides sorted 100 images of CUB-200-2011 by"
        " hand and give no criterion"
        + ("." if same else f"; profile `{settings.profile}` has other images, so the counts are not comparable.")
    )


def _worst(found: EdgeScores, rule: str, settings: Settings) -> pd.DataFrame | None:
    """Rows of `errors.csv` of the worst images by `rule` at the first seed that was run, worst first."""
    if not found.seeds:
        return None
    rows = found.errors[(found.errors["rule"] == rule) & (found.errors["seed"] == found.seeds[0])]
    return rows.set_index("image_id", drop=False).loc[found.worst(rule, settings)].reset_index(drop=True)
