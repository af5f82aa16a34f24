"""Count the kinds of error of the worst images, beside the slides' 86 / 12 / 2 (METHODS 6; slide 36)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ala.config.schema import Settings
from ala.metrics.errors import FLAGS, KINDS, MISSED_IOU, TINY_AREA, UNCERTAIN_SHARE, kinds
from ala.metrics.fix_tables import RULES
from ala.report import slides
from ala.report.captions import ground_truth
from ala.report.edge_scores import EdgeScores, command, files, gather
from ala.report.markdown import grid, number
from ala.report.tables import NOT_RUN

#: `errors.csv`: counts among the worst images by each rule; `seed` is the one whose predictions are sorted.
COLUMNS = [
    "rule", "rho", *KINDS, *(f"paper_{kind}" for kind in KINDS), "paper_worst",
    "n_worst", "n_images", "n_seeds", "seed", *FLAGS, "command", "scores",
]  # fmt: skip
RULE_LABELS = {"mean_std": "mean + std (main)", "fixed": "fixed 0.5", "val": "best on validation"}


def errors_table(scores: Path, settings: Settings) -> pd.DataFrame:
    """`errors.csv`: one line per threshold rule and rho, in the columns of :data:`COLUMNS`.

    The worst are those of lowest IoU by that rule, averaged over seeds; the kinds and flags are those of the prediction
    of one seed, the first that was run. Without any run the cells say `not run`.
    """
    found, paper = gather(scores, settings), slides.errors()
    lines = []
    for rule in RULES:
        rows = _worst_rows(found, rule, settings)
        for rho in settings.active.errors.rho:
            line: dict[str, object] = dict.fromkeys(COLUMNS, NOT_RUN)
            line |= {"rule": rule, "rho": rho, "n_seeds": len(found.seeds), "command": command(settings.seeds)}
            line |= {"scores": files(found.seeds, "errors.csv")}
            line |= {f"paper_{kind}": paper[kind] for kind in KINDS} | {"paper_worst": paper["worst"]}
            if rows is not None:
                kind = pd.Series(kinds(rows["fp"].to_numpy(), rows["fn"].to_numpy(), rho))
                line |= {name: int((kind == name).sum()) for name in KINDS}
                line |= {name: int(rows[name].sum()) for name in FLAGS}
                line |= {"n_worst": len(rows), "n_images": found.errors["image_id"].nunique(), "seed": found.seeds[0]}
            lines.append(line)
    return pd.DataFrame(lines, columns=COLUMNS, dtype=object)


def error_top_table(scores: Path, settings: Settings, names: Sequence[str]) -> pd.DataFrame:
    """`error_top.csv`: one line per worst image by the main rule, worst first; no lines where nothing was run.

    `miou` is the mean over seeds and decides which images these are; `iou`, `fp`, `fn`, the kind by each rho and the
    flags are of the prediction at `seed`. `names` are the class names, position k is label k.
    """
    wanted = settings.active.errors.rho
    by_rho = {f"kind_{rho:g}": rho for rho in wanted}
    columns = ["image_id", "class", "miou", "n_seeds", "seed", "iou", "fp", "fn", *by_rho, *FLAGS, "command", "scores"]
    found = gather(scores, settings)
    rows = _worst_rows(found, "mean_std", settings)
    if rows is None:
        return pd.DataFrame(columns=columns)
    main = found.errors[found.errors["rule"] == "mean_std"]
    rows = rows.assign(
        miou=rows["image_id"].map(main.groupby("image_id")["iou"].mean()),
        n_seeds=len(found.seeds),
        command=command(found.seeds),
        scores=files(found.seeds, "errors.csv"),
        **{"class": [names[label] for label in rows["label"]]},
        **{name: kinds(rows["fp"].to_numpy(), rows["fn"].to_numpy(), rho) for name, rho in by_rho.items()},
    )
    return rows[columns].reset_index(drop=True)


def errors_markdown(table: pd.DataFrame, scores: Path, settings: Settings) -> str:
    """The twin of `errors.csv` with its caption and, where something is missing, notes."""
    main = settings.active.errors.main_rho
    lines = []
    for _, line in table.iterrows():
        label = RULE_LABELS[str(line["rule"])]
        paper = " / ".join(str(line[f"paper_{kind}"]) for kind in KINDS)
        counts = [str(line[kind]) for kind in KINDS]
        if line["rho"] == main:
            counts = [f"**{count}**" for count in counts]
        row = [label, f"{line['rho']:g}", *counts, paper, str(line["n_worst"]), *(str(line[name]) for name in FLAGS)]
        lines.append(row)
    head = ["rule", "ρ", *KINDS, "slides (of 100)", "photos", *(name.replace("_", " ") for name in FLAGS)]
    return "\n\n".join([grid(head, lines), caption(table, settings), *_notes(scores, settings)])


def caption(table: pd.DataFrame, settings: Settings) -> str:
    """What the counts are of, by which criterion, and how far they compare with the slides."""
    first, data = table.iloc[0], settings.active.data
    same = settings.profile == "paper"
    return (
        f"The {first['n_worst']} of {first['n_images']} test photos with the lowest IoU of `{settings.main_variant}`"
        f" under each rule, mean over {first['n_seeds']} seeds, {ground_truth(data)} at"
        f" {data.input_size}×{data.input_size}; kinds and flags are of the prediction at seed {first['seed']}."
        " OA: fp ≥ ρ·fn; IA: fn ≥ ρ·fp; else Others, with fp and fn as shares of the union (bold: the main ρ)."
        " Flags, several may hold: IoU below"
        f" {number(MISSED_IOU, 2)} (missed), object below {100 * TINY_AREA:g} % of the photo (tiny), more than"
        f" {100 * UNCERTAIN_SHARE:g} % of the union marked by a minority of annotators (uncertain), a part of the"
        " prediction below the object (reflection, for a look by hand). The slides sorted 100 photos of CUB-200-2011 by"
        " hand and give no criterion"
        + ("." if same else f"; profile `{settings.profile}` has other photos, so the counts are not comparable.")
    )


def _worst_rows(found: EdgeScores, rule: str, settings: Settings) -> pd.DataFrame | None:
    """Rows of `errors.csv` of the worst images by `rule` at the first seed that was run, worst first."""
    if not found.seeds:
        return None
    rows = found.errors[(found.errors["rule"] == rule) & (found.errors["seed"] == found.seeds[0])]
    return rows.set_index("image_id", drop=False).loc[found.worst(rule, settings)].reset_index(drop=True)


def _notes(scores: Path, settings: Settings) -> list[str]:
    notes = gather(scores, settings).notes
    return ["\n".join(f"- {note}" for note in notes)] if notes else []
