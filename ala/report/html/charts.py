"""Curves as data for the page's charts: one line per column of insertion, deletion and validation, and of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ala.report.run import Run

DIGITS = 5
#: Curves by name of the frame and column: heading, and axis of the values.
CURVES = {
    ("insertion", "probability"): ("Insertion", "probability of the target class"),
    ("deletion", "probability"): ("Deletion", "probability of the target class"),
    ("validation_miou", "miou"): ("Mean IoU on validation", "mean IoU, mean over seeds"),
    ("training", "train_loss"): ("Training loss", "training loss, mean over seeds"),
    ("training", "val_accuracy_pb"): ("Accuracy on validation", "accuracy on validation, mean over seeds"),
}
#: Axes by the name of the column.
AXES = {"share": "share of the pixels", "epoch": "epoch"}


def charts(run: Run, curves: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """One chart for each of :data:`CURVES`: means over seeds, a line per method.

    A chart holds `id, title, x, y, file` and `series`, each with `look`, `label`, and points `x, y` without gaps.
    """
    found = []
    for (name, column), (title, axis) in CURVES.items():
        frame = curves[name].rename(columns={"model": "method"})
        if column in frame:
            found.append(_chart(run, f"{name}-{column}", title, axis, name, frame, column))
    return [chart for chart in found if chart["series"]]


def _chart(
    run: Run, identity: str, title: str, axis: str, stem: str, frame: pd.DataFrame, column: str
) -> dict[str, Any]:
    across = next(name for name in AXES if name in frame)
    place = {row.method: number for number, row in enumerate(run.rows.methods)}
    parts = {str(method): part for method, part in frame.dropna(subset=[column]).groupby("method", sort=False)}
    series = []
    for method in sorted(parts, key=lambda name: place[run.rows[name].method] if name in run.rows else len(place)):
        points = parts[method].groupby(across)[column].mean()
        series.append({
            "look": run.rows[method].look.index if method in run.rows else None, "label": run.rows.label(method),
            "x": points.index.to_numpy().round(DIGITS).tolist(), "y": points.round(DIGITS).tolist(),
        })  # fmt: skip
    return {
        "id": identity,
        "title": title,
        "x": AXES[across],
        "y": axis,
        "file": f"curves/{stem}.csv",
        "series": series,
    }
