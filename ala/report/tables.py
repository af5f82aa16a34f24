"""The tables of `reports/tables/`, in full precision: first the mean over images, then mean and spread over seeds.

The spread is the sample standard deviation over seeds (ddof = 1, METHODS 2.7); one seed has none, its cell is empty.
"""

from __future__ import annotations

import pandas as pd

from ala.config.schema import ROWS
from ala.contracts import scores as contract
from ala.report import rows, slides
from ala.report.run import Cell, Run

NOT_RUN = "not run"

#: Column of a table: column of the per-image scores that it averages.
AVERAGED = {
    "accuracy": "correct",
    "miou": "iou_mean_std",
    "miou_fixed": "iou_fixed",
    "miou_otsu": "iou_otsu",
    "miou_val": "iou_val",
    "insertion": "insertion",
    "deletion": "deletion",
    "id": "id",
}
#: Photos whose thresholded map is empty, counted per seed (METHODS 5.4: mean + std can select nothing).
EMPTY = contract.FLAGS
#: From the evaluate stage's summary: the threshold found on validation, the share of tied pixels, maps that say
#: nothing, forward passes.
KEPT = ["tau_val", "tie_share", "collapsed_constant", "collapsed_one_pixel", "forwards"]

#: The contract for `main.csv` and `ablation.csv`; the first columns name the row.
COLUMNS = [
    "n_seeds", "n_images",
    "accuracy_mean", "accuracy_std",
    "miou_mean", "miou_std", "miou_fixed_mean", "miou_otsu_mean", "miou_val_mean",
    "insertion_mean", "insertion_std", "deletion_mean", "deletion_std", "id_mean", "id_std",
    "paper_miou", "paper_insertion", "paper_deletion", "paper_id",
    "command",
]  # fmt: skip


def cell_means(cell: Cell) -> dict[str, float]:
    """Means over the images of one cell, by the names of :data:`AVERAGED`; NaN where no image has the score."""
    return {name: float(cell.scores[source].astype(float).mean()) for name, source in AVERAGED.items()}


def per_seed(run: Run) -> pd.DataFrame:
    """One line per (method, seed) that was run: where it is shown, how many photos, every mean, empty predictions."""
    lines = []
    for (method, seed), cell in run.cells.items():
        shown = [row for row in rows.shown(run.settings) if rows.scored_as(row, run.settings) == method]
        lines.append(
            {
                "method": method,
                "rows": " ".join(shown),
                "seed": seed,
                "n_images": len(cell.mapped),
                "n_perturbed": len(cell.perturbed),
                **cell_means(cell),
                **{name: int(cell.scores[name].sum()) for name in EMPTY},
                **{name: cell.summary.get(name) for name in KEPT},
                "command": rows.command(method, [seed]),
            }
        )
    head = ["method", "rows", "seed", "n_images", "n_perturbed"]
    return pd.DataFrame(lines, columns=[*head, *AVERAGED, *EMPTY, *KEPT, "command"])


def summary(run: Run, row: str, paper: dict[str, slides.Printed]) -> dict[str, object]:
    """The cells of :data:`COLUMNS` for one row; `not run` where no seed of it was run.

    `n_images` is the number of photos behind the mean IoU; if seeds differ in it, the smallest.
    """
    cells = run.of(row)
    means = pd.DataFrame([cell_means(cell) for cell in cells], columns=list(AVERAGED))
    values: dict[str, object] = {"n_seeds": len(cells)}
    values["n_images"] = min((len(cell.mapped) for cell in cells), default=NOT_RUN)
    for column in COLUMNS[2:15]:
        name, kind = column.rsplit("_", 1)
        # A seed without any score of this kind leaves the cell empty: a mean over fewer seeds would claim n_seeds.
        number = means[name].mean(skipna=False) if kind == "mean" else means[name].std(ddof=1, skipna=False)
        values[column] = float(number) if cells else NOT_RUN
    for name in slides.METRICS:
        values[f"paper_{name}"] = paper[name].mean if paper else None
    values["command"] = rows.command(rows.scored_as(row, run.settings), run.settings.seeds)
    return values


def main(run: Run) -> pd.DataFrame:
    """`main.csv`: one line per method of :data:`ala.report.rows.MAIN`, beside the slides' values.

    A last line has the zero-shot accuracy of the frozen encoder on the test photos, where it has class texts. It hangs
    on no seed of the run and has no map, so its other cells are empty.
    """
    paper = slides.printed("main")
    lines = [{"method": row, **summary(run, row, paper.get(row, {}))} for row in rows.MAIN]
    if run.encoder.get("zero_shot_accuracy") is not None:  # null without class texts
        lines.append(
            {"method": rows.ZERO_SHOT, **dict.fromkeys(COLUMNS), "n_images": run.encoder.get("n_images"),
             "accuracy_mean": run.encoder["zero_shot_accuracy"], "command": "dvc repro encoder"}
        )  # fmt: skip
    return pd.DataFrame(lines, columns=["method", *COLUMNS], dtype=object)


def ablation(run: Run) -> pd.DataFrame:
    """`ablation.csv`: one line per row that the settings name, in the order of the slides, beside their values.

    Below them the extensions of row (iii) that were asked for, which the slides do not have.
    """
    paper = slides.printed("ablation")
    names = [*(row for row in rows.ABLATION if row in run.settings.ablations), *run.settings.extensions]
    lines = [
        {
            "row": row,
            **{part: str(switched_on).lower() for part, switched_on in ROWS.get(row, ROWS["iii"]).items()},
            **summary(run, row, paper.get(row, {})),
        }
        for row in names
    ]
    return pd.DataFrame(lines, columns=["row", "aea", "sbn", *COLUMNS], dtype=object)
