"""Insertion and deletion curves, training curves, and the ablation as points beside the slides' values."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd

from ala.report import ends, slides, style, tables
from ala.report.rows import Row
from ala.report.run import Run, share
from ala.report.summary import means

#: What :func:`curves` draws.
CURVES = "line: mean over seeds, band: ± sample standard deviation over seeds, dotted: chance"
TITLES = {"miou": "mean IoU ↑", "insertion": "Insertion ↑", "deletion": "Deletion ↓", "id": "ID ↑"}


def perturbation_curves(run: Run) -> pd.DataFrame:
    """Long table `method, seed, kind, share, probability`: curves averaged over images, one per method and seed."""
    shares = share(run.settings)
    parts = [
        pd.DataFrame({"method": row.name, "seed": seed, "kind": kind, "share": shares, "probability": values})
        for row in run.rows.main
        for seed in run.seeds(row)
        for kind, values in run.curves.get((row.method, seed), {}).items()
    ]
    columns = ["method", "seed", "kind", "share", "probability"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def curves(run: Run, path: Path) -> bool:
    """Draw insertion and deletion for every method; False, and no file, where no curve was kept."""
    import matplotlib.pyplot as plt
    import seaborn

    table = perturbation_curves(run)
    if table.empty:
        return False
    drawn = set(table["method"])
    shown = {row.name: row for row in reversed(run.rows.main) if row.name in drawn}  # the last one is drawn on top
    figure, panels = plt.subplots(1, 2, figsize=(9.2, 3.6), sharey=True, layout="constrained")
    for panel, kind in zip(panels, ("insertion", "deletion"), strict=True):
        seaborn.lineplot(
            table[table["kind"] == kind], x="share", y="probability", hue="method", style="method",
            hue_order=list(shown), style_order=list(shown),
            palette={name: row.look.figure for name, row in shown.items()},
            dashes={name: row.look.dash or "" for name, row in shown.items()},
            errorbar="sd", err_kws={"linewidth": 0, "alpha": 0.2}, ax=panel, legend=kind == "deletion",
        )  # fmt: skip
        panel.set(title=TITLES[kind], xlabel=f"share of pixels {'inserted' if kind == 'insertion' else 'deleted'}")
        panel.set(xlim=(0, 1), ylim=(0, None))
        if (level := ends.chance(run)) is not None:
            panel.axhline(level, color=style.INK, linestyle=":", linewidth=1, zorder=1)
    panels[0].set_ylabel("probability of the predicted class")
    handles, names = panels[1].get_legend_handles_labels()
    panels[1].get_legend().remove()
    figure.legend(handles[::-1], [shown[name].label for name in names[::-1]], loc="outside right center")
    style.save(figure, path)
    return True


def ablation(run: Run, table: pd.DataFrame, path: Path) -> bool:
    """Draw the rows of the ablation: each seed, mean ± spread, the slides' value as an open marker.

    All over the images that the rows share.
    """
    import matplotlib.pyplot as plt

    shown = run.rows.ablation
    if not any(map(run.seeds, shown)):
        return False
    paper = slides.printed("ablation")
    common = tables.common_images(run, shown)
    baseline = slides.content()["baseline"]
    figure, panels = plt.subplots(1, len(TITLES), figsize=(9.2, 3.0), layout="constrained")
    for panel, (metric, title) in zip(panels, TITLES.items(), strict=True):
        for place, row in enumerate(shown):
            line = table[table["row"] == row.name].iloc[0]
            colour = row.look.figure
            if run.seeds(row):
                seeds = means(run.of(row, metric), common[metric])
                panel.scatter(np.full(len(seeds), place - 0.12), seeds, s=9, color=colour, alpha=0.55, linewidth=0)
                deviation = line[f"{metric}_common_std"]
                bar = None if pd.isna(deviation) else deviation
                panel.errorbar(
                    place - 0.12, line[f"{metric}_common_mean"], bar, fmt="o", ms=6, color=colour, capsize=3, lw=1.4
                )
            else:
                panel.annotate("not run", (place, 0.03), xycoords=("data", "axes fraction"), ha="center", fontsize=7)
            if row.name in paper:
                value = paper[row.name][metric]
                panel.errorbar(
                    place + 0.16, value.mean, value.spread, fmt="D", ms=5, mfc="white", color="#8c8c8c", capsize=2, lw=1
                )  # fmt: skip
        if metric == "miou" and baseline in run.rows and run.seeds(baseline):
            level = means(run.of(baseline, metric), common[metric]).mean()
            panel.axhline(level, color=run.rows[baseline].look.figure, ls=(0, (4, 2)), lw=1, zorder=0)
            panel.annotate(run.rows.label(baseline), (1, level), xycoords=("axes fraction", "data"), ha="right",
                           va="bottom", fontsize=7, color="#6b6b6b")  # fmt: skip
        panel.set_title(title)
        panel.set_xticks(range(len(shown)), [fill(row.label, 9) for row in shown])
        panel.set_xlim(-0.6, len(shown) - 0.4)
        panel.grid(axis="x", visible=False)
        low, high = panel.get_ylim()
        panel.set_ylim(min(0, low), high * 1.05)
    figure.legend(
        [
            plt.Line2D([], [], marker="o", ls="", color=style.INK, ms=6),
            plt.Line2D([], [], marker="D", ls="", mfc="white", color="#8c8c8c", ms=5),
        ],
        ["this run, mean ± sd over seeds", "slides"],
        loc="outside lower center",
        ncols=2,
    )
    style.save(figure, path)
    return True


#: Panels of the training figure, top to bottom: title, and the columns of curve.csv that are drawn in it.
TRAINING = {
    "cross-entropy": {"train_loss": "training", "val_loss": "validation"},
    "accuracy": {"train_accuracy": "training", "val_accuracy_pb": "validation"},
    "validation mean IoU": {"val_miou": "validation"},
}


def training(run: Run, path: Path) -> bool:
    """Draw how every variant was trained: mean and spread over seeds, AEA's *off* epochs shaded.

    Nothing is validated in an *off* epoch, so validation is drawn from one *on* epoch to the next.
    """
    import matplotlib.pyplot as plt
    import seaborn

    trained = {name for name, _ in run.training}
    explainers = [row for row in run.rows.explainers if row not in run.rows.ablation and row is not run.main]
    shown = [row for row in (*run.rows.ablation, *explainers) if row.method in trained]
    if not shown:
        return False
    figure, panels = plt.subplots(
        len(TRAINING), len(shown), figsize=(max(1.9 * len(shown), 5.0), 5.4), sharex=True, sharey="row", squeeze=False,
        layout="constrained",
    )  # fmt: skip
    palette = {"training": "#9a9a9a", "validation": style.PALETTE[0][0]}
    for column, row in enumerate(shown):
        table = training_table(run, row.method)
        off = table.loc[table["phase"] == "off", "epoch"].unique()
        for line, (title, drawn) in enumerate(TRAINING.items()):
            panel = panels[line, column]
            for epoch in off:
                panel.axvspan(epoch - 0.5, epoch + 0.5, color=style.SHADE, linewidth=0, zorder=0)
            for source, name in drawn.items():
                measured = table.dropna(subset=[source]) if source in table else table.head(0)
                if measured.empty:
                    continue
                seaborn.lineplot(
                    measured, x="epoch", y=source, color=palette[name], errorbar="sd", ax=panel,
                    err_kws={"linewidth": 0, "alpha": 0.2}, linewidth=1.4,
                )  # fmt: skip
            if line == len(TRAINING) - 1:
                epochs = [epoch for (name, _), epoch in run.kept.items() if name == row.method]
                panel.plot(epochs, [0] * len(epochs), marker="^", ms=5, ls="", color=style.INK, clip_on=False, zorder=5)
            panel.set(xlabel="epoch" if line == len(TRAINING) - 1 else "", ylabel=title if column == 0 else "")
            panel.grid(axis="x", visible=False)
        panels[0, column].set_title(_switches(row, run))
    for panel in panels[:, 0]:
        panel.set_ylim(bottom=0)
    legend = {name: plt.Line2D([], [], color=colour) for name, colour in palette.items()}
    legend["off epoch: SBN and AB rest, α is 1"] = plt.Line2D([], [], color=style.SHADE, lw=8)
    legend["epoch kept, one per seed"] = plt.Line2D([], [], marker="^", ms=5, ls="", color=style.INK)
    figure.legend(list(legend.values()), list(legend), loc="outside lower center", ncols=len(legend))
    style.save(figure, path)
    return True


def training_table(run: Run, model: str) -> pd.DataFrame:
    """The curves of `model` over all its seeds, with a column `seed`; a cell that was not measured is NaN."""
    parts = [table.assign(seed=seed) for (name, seed), table in run.training.items() if name == model]
    return pd.concat(parts, ignore_index=True)


def _switches(row: Row, run: Run) -> str:
    if row.kind != "ablation" or row.extension:
        return row.label
    words = [name.upper() for name, switched_on in tables.switches(run, row).items() if switched_on]
    return f"{row.label} {' + '.join(words) or 'neither'}"
