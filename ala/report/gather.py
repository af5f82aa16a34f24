"""Read all results of a run; missing or unexpected ones become notes and are never silently averaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ala.config.schema import Settings
from ala.contracts import scores as contract
from ala.contracts.maps import Maps
from ala.contracts.origin import mark
from ala.metrics import iou
from ala.metrics.curves import Curves
from ala.report import slides
from ala.report.notes import oddities
from ala.report.rows import Row, rows_of
from ala.report.run import Key, Run, share
from ala.report.summary import METRICS
from ala.utils.errors import UserError


def gather(settings: Settings, scores: Path, models: Path, data: Path, maps: Path | None = None) -> Run:
    """Read the folders `scores`, `models` and `data` of a run, and of `maps` how much is attended to.

    Raises:
        UserError: a file is there but broken, or belongs to another method or seed than its folder says.
    """
    run = Run(
        settings, rows_of(settings), {}, {},
        data=read_json(data / "metrics.json"),
        splits=read_json(data / "splits" / "summary.json"),
        encoder=read_json(models / "encoder" / "metrics.json"),
        mark=mark(read_json(models / "encoder" / "encoder.json")),
    )  # fmt: skip
    for row in run.rows.methods:
        for seed in settings.seeds:
            _add_scores(run, row, seed, scores / row.folder(seed))
    for seed in settings.seeds:
        for path in sorted(models.glob(f"*/seed-{seed}/curve.csv")):
            run.training[path.parts[-3], seed] = _table(path)
            epoch = read_json(path.parent / "model.json").get("epoch")
            if epoch is not None:
                run.kept[path.parts[-3], seed] = int(epoch)
    if maps is not None:
        _add_areas(run, maps)
    run.notes.extend(oddities(run))
    return run


def _add_scores(run: Run, row: Row, seed: int, folder: Path) -> None:
    path = folder / "scores.csv"
    if not path.exists():
        return
    frame = contract.load(path)
    found = frame["method"].unique().tolist(), frame["seed"].unique().tolist()
    if found != ([row.method], [seed]):
        raise UserError(f"{path} holds methods {found[0]} and seeds {found[1]}; run `{row.command([seed])}` again")
    summary = run.summaries[row.method, seed] = read_json(folder / "summary.json")
    if len(frame) != summary.get("n_rows", len(frame)):
        raise UserError(
            f"{path} has {len(frame):,} rows of {summary['n_rows']:,}, it is cut off; run `{row.command([seed])}` again"
        )
    run.scores.update(series(frame[frame["image_id"] >= 0]))
    whole = frame[frame["image_id"] < 0]
    for protocol, metric, value in zip(whole["protocol"], whole["metric"], whole["value"], strict=True):
        run.whole[Key(row.method, seed, protocol, metric)] = float(value)
    if (folder / "curves.npz").exists():
        run.curves[row.method, seed] = _curves(folder / "curves.npz", run.settings)


def series(frame: pd.DataFrame) -> dict[Key, pd.Series]:
    """The long table by what its values are of: each a series by image id, ascending."""
    ordered = frame.sort_values("image_id", kind="stable")
    groups = ordered.groupby(["method", "seed", "protocol", "metric"], sort=False)
    return {Key(*key): part.set_index("image_id")["value"] for key, part in groups}  # type: ignore[arg-type]


def _curves(path: Path, settings: Settings) -> dict[str, np.ndarray]:
    curves = Curves.load(path)
    points = len(share(settings))
    if curves.insertion.shape[1] != points:
        raise UserError(
            f"{path} has {curves.insertion.shape[1]} points per curve, the settings request {points}; score it again"
        )
    return {kind: getattr(curves, kind).mean(axis=0, dtype=np.float64) for kind in ("insertion", "deletion")}


def _add_areas(run: Run, maps: Path) -> None:
    """Add how much the rows of claims on the attended area attend to; a method without maps has none."""
    wanted, size = METRICS["area"], run.settings.active.data.input_size
    names = [name for claim in slides.claims() if claim.metric == "area" for name in (claim.higher, claim.lower)]
    for row in [run.rows[name] for name in dict.fromkeys(names) if name in run.rows]:
        for seed in run.settings.seeds:
            path = maps / row.folder(seed) / "test.npz"
            if path.exists():
                run.scores[Key(row.method, seed, wanted.protocol, wanted.metric)] = attended(Maps.load(path), size)


def attended(maps: Maps, size: int) -> pd.Series:
    """Share `[0, 1]` of the pixels of each image, at `size`, above 0.5 of the min-max-scaled map, by image id.

    This is the rule `fixed`: mean + std selects nearly the same share of every smooth map (METHODS 5.4) and could not
    show a wider one.
    """
    ids = np.asarray(maps.image_ids)
    shares = [iou.predict(iou.at_size(maps, some, size), "fixed").mean(axis=(1, 2)) for some in iou.chunks(ids, size)]
    return pd.Series(np.concatenate(shares), index=ids).sort_index()


def read_json(path: Path) -> dict[str, Any]:
    """The named values of a JSON file; empty where there is no such file.

    Raises:
        UserError: the file is no JSON object.
    """
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
