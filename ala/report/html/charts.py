"""Curves as data for the page's charts: each CSV of `curves/` that has one line per column, and the training curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ala.config.schema import Settings
from ala.report.html import catalogue, names
from ala.utils.errors import UserError

DIGITS = 5


def charts(folder: Path, settings: Settings) -> list[dict[str, Any]]:
    """One chart per file of `folder`, several for `training.csv`: what is known by name first, then the others.

    A chart holds `id, title, x, y, file` and `series`, each with `row`, `label`, and points `x, y` without gaps.

    Raises:
        UserError: a file is no CSV.
    """
    stems = sorted(path.stem for path in folder.glob("*.csv"))
    found = []
    for stem in [name for name in catalogue.CURVES if name in stems] + [
        name for name in stems if name not in catalogue.CURVES
    ]:
        try:
            frame = pd.read_csv(folder / f"{stem}.csv")
        except ValueError as error:  # pandas' parser errors and undecodable text are ValueErrors
            raise UserError(f"{folder / stem}.csv is no curve ({error}); run `dvc repro report`") from None
        if stem == "training":
            for column, title in catalogue.TRAINING.items():
                if column in frame:
                    wide = frame.pivot_table(index="epoch", columns="model", values=column, aggfunc="mean")
                    wide = wide.reset_index().rename_axis(columns=None)
                    found.append(_chart(f"training-{column}", title, f"{title}, mean over seeds", stem, wide, settings))
        elif len(frame.columns) > 1 and all(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes):
            title, axis = catalogue.CURVES.get(stem, (stem.replace("_", " ").capitalize(), stem.replace("_", " ")))
            found.append(_chart(stem, title, axis, stem, frame, settings))
    return [chart for chart in found if chart["series"]]


def _chart(name: str, title: str, axis: str, stem: str, frame: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    across = str(frame.columns[0])
    series = []
    for column in frame.columns[1:]:
        points = frame[[across, column]].dropna()
        if len(points):
            series.append(
                {
                    "row": names.row_of(str(column), settings),
                    "label": names.label(str(column), settings),
                    "x": points[across].round(DIGITS).tolist(),
                    "y": points[column].round(DIGITS).tolist(),
                }
            )
    return {
        "id": name, "title": title, "x": catalogue.AXES.get(across, across.replace("_", " ")), "y": axis,
        "file": f"curves/{stem}.csv", "series": series,
    }  # fmt: skip
