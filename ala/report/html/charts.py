"""Curves as data for the page's charts: one line per column of insertion, deletion and validation, and of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ala.report.run import Run

DIGITS = 5
#: Curves by name: heading, axis of the values.
CURVES = {
    "insertion": ("Insertion", "probability of the target class"),
    "deletion": ("Deletion", "probability of the target class"),
    "validation_miou": ("Mean IoU on validation", "mean IoU, mean over seeds"),
}
#: Columns of the training curves that are drawn: heading.
TRAINING = {"train_loss": "Training loss", "val_accuracy_pb": "Accuracy on validation"}
#: Axes by the name of the column.
AXES = {"share": "share of the pixels"}


def charts(run: Run, curves: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """One chart per frame of `curves`, whose first column is the axis, and one for each of :data:`TRAINING`.

    A chart holds `id, title, x, y, file` and `series`, each with `look`, `label`, and points `x, y` without gaps.
    """
    found = [_chart(run, name, *CURVES[name], name, curves[name]) for name in CURVES]
    training = curves["training"]
    for column, title in TRAINING.items():
        if column in training:
            wide = training.pivot_table(index="epoch", columns="model", values=column, aggfunc="mean").reset_index()
            found.append(_chart(run, f"training-{column}", title, f"{title}, mean over seeds", "training", wide))
    return [chart for chart in found if chart["series"]]


def _chart(run: Run, name: str, title: str, axis: str, stem: str, frame: pd.DataFrame) -> dict[str, Any]:
    across = str(frame.columns[0])
    series = []
    for column in map(str, frame.columns[1:]):
        points = frame[[across, column]].dropna()
        if len(points):
            look = run.rows[column].look.index if column in run.rows else None
            series.append({"look": look, "label": run.rows.label(column), "x": points[across].round(DIGITS).tolist(),
                           "y": points[column].round(DIGITS).tolist()})  # fmt: skip
    return {"id": name, "title": title, "x": AXES.get(across, across), "y": axis, "file": f"curves/{stem}.csv",
            "series": series}  # fmt: skip
