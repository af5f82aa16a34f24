"""Read all results of a run; missing or unexpected ones become notes and are never silently averaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ala.config.schema import Settings
from ala.contracts import scores as contract
from ala.contracts.origin import mark
from ala.metrics.curves import Curves
from ala.report import rows
from ala.report.areas import areas
from ala.report.notes import oddities
from ala.report.run import Cell, Run, share
from ala.utils.errors import UserError


def gather(settings: Settings, scores: Path, models: Path, data: Path, maps: Path | None = None) -> Run:
    """Read the folders `scores`, `models` and `data` of a run, and of `maps` how much is attended to.

    Raises:
        UserError: a file is there but broken, was changed after it was written, or belongs to another method or seed
            than its folder says.
    """
    cells: dict[tuple[str, int], Cell] = {}
    for method in rows.methods(settings):
        for seed in settings.seeds:
            cell = _cell(scores / rows.place(method, seed, settings), method, seed, settings)
            if cell is not None:
                cells[method, seed] = cell
    training, kept = {}, {}
    for seed in settings.seeds:
        for path in sorted(models.glob(f"*/seed-{seed}/curve.csv")):
            training[path.parts[-3], seed] = _table(path)
            epoch = _json(path.parent / "model.json").get("epoch")
            if epoch is not None:
                kept[path.parts[-3], seed] = int(epoch)
    run = Run(
        settings,
        cells,
        training,
        kept,
        _json(data / "metrics.json"),
        _json(data / "splits" / "summary.json"),
        _json(models / "encoder" / "metrics.json"),
        mark=mark(_json(models / "encoder" / "encoder.json")),
    )
    if maps is not None:
        run.areas.update(areas(settings, maps))
    run.notes.extend(oddities(run))
    return run


def _cell(where: Path, method: str, seed: int, settings: Settings) -> Cell | None:
    path = where / "scores.csv"
    if not path.exists():
        return None
    long = contract.load(path)
    found = long["seed"].unique().tolist(), long["method"].unique().tolist()
    if found != ([seed], [method]):
        raise UserError(
            f"{path} holds seeds {found[0]} of {', '.join(found[1])}; delete the folder and run its score stage again"
        )
    true_class = where / "true_class.npz"
    sets = long[(long["image_id"] < 0) & (long["protocol"] == "official")]
    summary = _json(where / "summary.json") | dict(zip(sets["metric"], sets["value"], strict=True))  # tie_share ...
    return Cell(
        method,
        seed,
        contract.wide(long),
        _curves(where / "curves.npz", settings),
        summary | {"forwards": int(summary["forwards"])} if "forwards" in summary else summary,
        long,
        Curves.load(true_class) if true_class.exists() else None,
    )


def _curves(path: Path, settings: Settings) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    curves = Curves.load(path)
    points = len(share(settings))
    if curves.insertion.shape[1] != points:
        raise UserError(
            f"{path} has {curves.insertion.shape[1]} points per curve, the settings ask for {points}; score it again"
        )
    return {kind: getattr(curves, kind).mean(axis=0, dtype=np.float64) for kind in ("insertion", "deletion")}


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no JSON ({error}); delete it and run the stage that writes it again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds {type(value).__name__}, not named values; run the stage that writes it again")
    return value


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no training curve ({error}); delete it and train again") from None
