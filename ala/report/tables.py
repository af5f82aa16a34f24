"""The tables of `reports/tables/`, in full precision: first the mean over images, then mean and spread over seeds.

The spread is the sample standard deviation over seeds (ddof = 1, METHODS 2.7); one seed has none, its cell is empty.

Rows of one table may have been scored on different images: RISE explains a subset. Each score therefore stands twice:
`X_common_mean` over the images that all rows of the table share, which is what may be compared, and `X_mean` over all
images of the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ala.config.schema import ROWS, variant_name
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
#: Images whose thresholded map is empty, counted per seed (METHODS 5.4: mean + std can select nothing).
EMPTY = contract.FLAGS
#: From the score stage's summary: the threshold found on validation, the share of tied pixels, maps that say
#: nothing, forward passes.
KEPT = ["tau_val", "tie_share", "collapsed_constant", "collapsed_one_pixel", "forwards"]

#: The contract for `main.csv` and `ablation.csv`; the first columns name the row.
COLUMNS = [
    "n_seeds", "n_images", "n_common", "n_perturbed", "n_perturbed_common",
    "accuracy_mean", "accuracy_std",
    "miou_common_mean", "miou_common_std", "miou_mean", "miou_std",
    "miou_fixed_common_mean", "miou_fixed_mean", "miou_otsu_common_mean", "miou_otsu_mean",
    "miou_val_common_mean", "miou_val_mean",
    "insertion_common_mean", "insertion_common_std", "insertion_mean", "insertion_std",
    "deletion_common_mean", "deletion_common_std", "deletion_mean", "deletion_std",
    "id_common_mean", "id_common_std", "id_mean", "id_std",
    "paper_miou", "paper_insertion", "paper_deletion", "paper_id",
    "command",
]  # fmt: skip
#: Those that hold means and spreads of scores.
MEASURED = [column for column in COLUMNS if column.endswith(("_mean", "_std"))]

#: Ids of images, by metric (a name of :data:`AVERAGED`) and seed.
Images = Mapping[str, Mapping[int, frozenset[int]]]


def cell_means(cell: Cell, common: Images | None = None) -> dict[str, float]:
    """Means over the images of one cell, by the names of :data:`AVERAGED`; NaN where no image has the score.

    With `common`, over those images alone; accuracy is over all test images either way.
    """
    means = {}
    for name, source in AVERAGED.items():
        values = cell.scores[source].astype(float)
        if common is not None and name in common:
            values = values[cell.scores["image_id"].isin(common[name].get(cell.seed, frozenset()))]
        means[name] = float(values.dropna().mean())  # so that the same values give the same bytes, whatever is absent
    return means


def common_images(run: Run, shown: Sequence[str]) -> Images:
    """The images that all rows `shown` share, by metric and seed; of accuracy none, it is over all test images."""
    return {name: run.common(shown, source) for name, source in AVERAGED.items() if name != "accuracy"}


def per_seed(run: Run) -> pd.DataFrame:
    """One line per (method, seed) that was run: where it is shown, how many images, every mean, empty predictions."""
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
                "command": rows.command(method, [seed], run.settings),
            }
        )
    head = ["method", "rows", "seed", "n_images", "n_perturbed"]
    return pd.DataFrame(lines, columns=[*head, *AVERAGED, *EMPTY, *KEPT, "command"])


def summary(run: Run, row: str, paper: dict[str, slides.Printed], common: Images) -> dict[str, object]:
    """The cells of :data:`COLUMNS` for one row; `not run` where no seed of it was run.

    `n_images` and `n_perturbed` are the numbers of images behind the mean IoU and behind insertion, deletion and ID;
    `n_common` and `n_perturbed_common` those of them that are in `common`. If seeds differ, the smallest.
    """
    cells = run.of(row)
    own = pd.DataFrame([cell_means(cell) for cell in cells], columns=list(AVERAGED))
    shared = pd.DataFrame([cell_means(cell, common) for cell in cells], columns=list(AVERAGED))
    values: dict[str, object] = {"n_seeds": len(cells)}
    values["n_images"], values["n_common"] = _counts(cells, "iou_mean_std", common["miou"])
    values["n_perturbed"], values["n_perturbed_common"] = _counts(cells, "insertion", common["insertion"])
    for column in MEASURED:
        name, kind = column.rsplit("_", 1)
        base = name.removesuffix("_common")
        means = (shared if name != base else own)[base]
        # A seed without any score of this kind leaves the cell empty: a mean over fewer seeds would claim n_seeds.
        number = means.mean(skipna=False) if kind == "mean" else means.std(ddof=1, skipna=False)
        values[column] = float(number) if cells else NOT_RUN
    for name in slides.METRICS:
        values[f"paper_{name}"] = paper[name].mean if paper else None
    values["command"] = rows.command(rows.scored_as(row, run.settings), run.settings.seeds, run.settings)
    return values


def _counts(cells: Sequence[Cell], source: str, common: Mapping[int, frozenset[int]]) -> tuple[object, object]:
    """The number of images that have the score `source`, and of those that are in `common`; smallest over seeds."""
    ids = [(cell.seed, set(cell.scores.loc[cell.scores[source].notna(), "image_id"].tolist())) for cell in cells]
    return (
        min((len(mine) for _, mine in ids), default=NOT_RUN),
        min((len(mine & common.get(seed, frozenset())) for seed, mine in ids), default=NOT_RUN),
    )


def main(run: Run) -> pd.DataFrame:
    """`main.csv`: one line per method of :data:`ala.report.rows.MAIN`, beside the slides' values.

    A last line has the zero-shot accuracy of the frozen encoder on the test images, where it has class texts. It
    depends on no seed of the run and has no map, so its other cells are empty.
    """
    paper, common = slides.printed("main"), common_images(run, rows.MAIN)
    lines = [{"method": row, **summary(run, row, paper.get(row, {}), common)} for row in rows.MAIN]
    if run.encoder.get("zero_shot_accuracy") is not None:  # null without class texts
        lines.append(
            {"method": rows.ZERO_SHOT, **dict.fromkeys(COLUMNS), "n_images": run.encoder.get("n_images"),
             "accuracy_mean": run.encoder["zero_shot_accuracy"], "command": "dvc repro encoder"}
        )  # fmt: skip
    return pd.DataFrame(lines, columns=["method", *COLUMNS], dtype=object)


def ablation(run: Run) -> pd.DataFrame:
    """`ablation.csv`: one line per row that the settings name, in the order of the slides, beside their values.

    Below them the selected extensions, which the slides do not have.
    """
    paper = slides.printed("ablation")
    names = [*(row for row in rows.ABLATION if row in run.settings.ablations), *run.settings.extensions]
    common = common_images(run, names)
    lines = [
        {
            "row": row,
            **{part: str(switched_on).lower() for part, switched_on in (ROWS.get(row) or _switches(run, row)).items()},
            **summary(run, row, paper.get(row, {}), common),
        }
        for row in names
    ]
    return pd.DataFrame(lines, columns=["row", "aea", "sbn", *COLUMNS], dtype=object)


def _switches(run: Run, extension: str) -> Mapping[str, bool]:
    """The parts that an extension has: those of the variant that it is trained as."""
    variant, _ = run.settings.trained_as(extension)
    return next(row for row in ROWS.values() if variant_name(**row) == variant)
