"""Export plain files for DVC: a few numbers for `dvc metrics`, curves for `dvc plots`.

The curves are long tables; the template `.dvc/plots/by_method.json` draws a line per method, the mean over seeds.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from ala.report.figures import perturbation_curves, training_table
from ala.report.run import Run

#: What is exported of the main model: name to column of `main.csv`. All but accuracy are over the images that all
#: methods share.
KEYS = {
    "miou_common": "miou_common_mean",
    "insertion": "insertion_common_mean",
    "deletion": "deletion_common_mean",
    "id": "id_common_mean",
    "accuracy": "accuracy_mean",
}
#: Of the other explainers: a table of experiments with every metric of every method has more columns than a screen.
FEW = ("miou_common", "id")


def metrics(run: Run, main: pd.DataFrame, ablation: pd.DataFrame) -> dict[str, Any]:
    """The means that `dvc metrics show` and `dvc exp show` print, by row; what was not run is left out.

    `miou_common` of the methods is over the images that they all share, `miou` of the ablation over those that its own
    rows share, which are more where a method explains a subset.
    """
    found: dict[str, Any] = {}
    explainers = [row.name for row in run.rows.explainers]
    for _, line in main[main["method"].isin(explainers)].iterrows():
        keys = KEYS if run.main is not None and line["method"] == run.main.name else FEW
        found[line["method"]] = {key: line[KEYS[key]] for key in keys if _number(line[KEYS[key]])}
    found["ablation"] = {
        line["row"]: {"miou": line["miou_common_mean"]}
        for _, line in ablation.iterrows()
        if _number(line["miou_common_mean"])
    }
    if run.encoder.get("zero_shot_accuracy") is not None:
        found["encoder"] = {"zero_shot_accuracy": run.encoder["zero_shot_accuracy"]}
    return {name: values for name, values in found.items() if values}


def _number(value: object) -> bool:
    return isinstance(value, float) and not pd.isna(value)


def perturbation(run: Run, kind: str) -> pd.DataFrame:
    """Curve `kind` (`insertion` or `deletion`), long: `method, seed, share` and the mean probability over images."""
    table = perturbation_curves(run)
    return table[table["kind"] == kind].drop(columns="kind")


def training(run: Run) -> pd.DataFrame:
    """All training curves, long: `model, seed` and the columns of curve.csv."""
    names = dict.fromkeys(name for name, _ in run.training)
    parts = [training_table(run, name).assign(model=name) for name in names]
    if not parts:
        return pd.DataFrame(columns=["model", "seed", "epoch"])
    table = pd.concat(parts, ignore_index=True)
    return table[["model", "seed", *table.columns.difference(["model", "seed"], sort=False)]]


def validation(run: Run) -> pd.DataFrame:
    """Mean IoU on validation, long: `method, seed, epoch, miou`; *off* epochs validate nothing and have no line."""
    table = training(run)
    if "val_miou" not in table:
        return pd.DataFrame(columns=["method", "seed", "epoch", "miou"])
    found = table.rename(columns={"model": "method", "val_miou": "miou"})
    return found[["method", "seed", "epoch", "miou"]].dropna()
