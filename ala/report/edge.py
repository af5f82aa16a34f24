"""Tabulate the gains of the edge fix and its alternatives, on all images and on the worst ones (METHODS 6)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ala.config.schema import Settings
from ala.metrics.fix_tables import FIXES
from ala.report import ends
from ala.report.captions import ground_truth, subset
from ala.report.edge_scores import EdgeScores, command, files
from ala.report.render import grid
from ala.report.run import Run
from ala.report.statistics import difference
from ala.report.table import Table
from ala.report.text import NOT_RUN, text_of

#: Column of the table: column of the per-image scores.
METRICS = {"miou": "iou", "insertion": "insertion", "deletion": "deletion", "id": "id"}
#: `edge.csv`. `n_empty` counts predictions without a pixel, mean over seeds; a gain is fix minus original.
COLUMNS = [
    "fix", "photos", "n_seeds", "n_images", "n_perturbed", "n_empty",
    *(f"{name}_{kind}" for name in METRICS for kind in ("mean", "std", "gain", "gain_low", "gain_high")),
    "command", "scores",
]  # fmt: skip


def table(run: Run, found: EdgeScores) -> Table:
    """`edge.csv`: one line per fix on `all` test images and on the `worst`, in the columns of :data:`COLUMNS`.

    Mean over images first, then mean and sample standard deviation over seeds. A gain is the mean difference to the
    original on the same images and seeds, with its :func:`interval`. Insertion, deletion and ID are over the
    `n_perturbed` images that have them.
    """
    groups = {"all": sorted(set(found.fixes["image_id"])), "worst": found.worst("mean_std", run.settings)}
    lines = [_line(found, fix, name, ids, run.settings) for name, ids in groups.items() for fix in FIXES]
    frame = pd.DataFrame(lines, columns=COLUMNS, dtype=object)
    gains = tuple(column for name in METRICS for column in (name, f"{name}_gain", f"{name}_gain_low"))
    text = ("photos", "n_images", "n_perturbed", "n_empty", *gains)
    lead = ("photos", *gains[:3], *gains[-3:])
    return Table("edge", frame, "Edge fix", caption(run), text, lead)


def _line(found: EdgeScores, fix: str, images: str, ids: list[int], settings: Settings) -> dict[str, object]:
    line: dict[str, object] = dict.fromkeys(COLUMNS, NOT_RUN)
    line |= {"fix": fix, "photos": images, "n_seeds": len(found.seeds), "command": command(settings.seeds)}
    line |= {"scores": files(found.seeds, "edge.csv")}
    if not found.seeds:
        return line
    chosen = found.fixes[found.fixes["image_id"].isin(ids)]
    mine, original = chosen[chosen["fix"] == fix], chosen[chosen["fix"] == "original"]
    labels = found.errors.drop_duplicates("image_id").set_index("image_id")["label"]
    line |= {"n_images": len(ids), "n_empty": float(mine.groupby("seed")["empty"].sum().mean())}
    for name, column in METRICS.items():
        values = _by_image(mine, column).dropna()
        means = values.mean(axis=0)
        line[f"{name}_mean"] = float(means.mean()) if len(values) else None
        line[f"{name}_std"] = float(means.std(ddof=1)) if len(means) > 1 else None
        line |= dict.fromkeys((f"{name}_gain", f"{name}_gain_low", f"{name}_gain_high"))
        if fix != "original" and len(values):
            gains = (values - _by_image(original, column).reindex(values.index)).to_numpy().T  # (seeds, images)
            low, high = interval(gains, labels.loc[values.index].to_numpy())
            line |= {f"{name}_gain": float(gains.mean()), f"{name}_gain_low": low, f"{name}_gain_high": high}
        if name == "insertion":
            line["n_perturbed"] = len(values)
    return line


def _by_image(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Values `(images, seeds)`, NaN where an image has none."""
    return rows.pivot_table(index="image_id", columns="seed", values=column, dropna=False)


def interval(gains: np.ndarray, labels: np.ndarray) -> tuple[float | None, float | None]:
    """95 % interval of the mean of gains `(seeds, images)` by the rule of :mod:`ala.report.statistics`; `labels`
    `(images,)` are the classes. None with one seed or one class.

    A fix and its original share the model of each seed, so the gain varies over seeds as one row does: the other is 0.
    """
    tested = difference(gains, np.zeros_like(gains), labels)
    return (None, None) if tested is None else (tested.low, tested.high)


def caption(run: Run) -> str:
    """Describe how the numbers were made, and the selection bias of gains on the worst images."""
    settings = run.settings
    metrics, data = settings.active.metrics, settings.active.data
    return (
        f"Maps of `{settings.main_variant}`, seeds {settings.seeds}. Mean IoU at {data.input_size}×{data.input_size}:"
        f" {ground_truth(data)}; `ala+edge` and `ala+largest` have their threshold at mean + standard deviation"
        " of the original map, `original` and `ala+guided` at their own. Insertion and deletion: `official` protocol,"
        f" {metrics.step} pixels per step, deletion to the mean colour, insertion from a"
        f" {metrics.blur_kernel}×{metrics.blur_kernel} blur with σ {metrics.blur_sigma:g}, predicted class, on"
        f" {subset(run)}; removed pixels tie at 0 and come last, in random order. Mean ± sample standard deviation over"
        " seeds; gain over the original, seed by seed, with a 95 % interval over seeds and over classes with their"
        " images (docs/protocols.md, Statistics). `n_empty`: images left without a predicted pixel, mean over seeds."
        " `worst` images are chosen by the original's IoU, so part of a gain on them is chance: whatever is worst by"
        " chance looks better under any change."
        f" {ends.sentence(run, [run.main] if run.main else [])}"
    )


def choices(found: EdgeScores, settings: Settings) -> str:
    """Tabulate mean IoU on validation images by kappa and seed, and the choice; warn where no kappa helps."""
    if not found.seeds:
        return ""
    kappas = settings.active.edge.kappas
    lines, doubts = [], []
    for seed in found.seeds:
        said = found.summaries[seed]
        by_kappa = {each["kappa"]: each["miou"] for each in said["val_miou"]["kappa"]}
        window = max(each["miou"] for each in said["val_miou"]["guided"])
        cells = [f"**{text_of(by_kappa.get(k))}**" if k == said["kappa"] else text_of(by_kappa.get(k)) for k in kappas]
        guided = f"{text_of(window)} (r {said['radius']}, ε {said['eps']:g})"
        lines.append([str(seed), text_of(said["val_miou"]["original"]), *cells, guided])
        if by_kappa[said["kappa"]] <= said["val_miou"]["original"]:
            doubts.append(str(seed))
    head = ["seed", "original", *(f"edge, κ = {kappa:g}" for kappa in kappas), "best guided"]
    text = "Mean IoU on validation images, where κ (bold), radius r and ε were chosen."
    if doubts:
        text += f" At seed {', '.join(doubts)} no κ beats the original there: the best one is the least harmful."
    return f"{grid(head, lines)}\n\n{text}"
