"""The gallery as data: test images of one seed with their maps, masks, scores and curves, as small as they can be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ala.contracts.maps import Maps
from ala.data.store import Store
from ala.metrics.curves import Curves
from ala.report import rows
from ala.report.gallery import gallery_seed
from ala.report.html import choice, names, pictures
from ala.report.html.tables import read
from ala.report.run import Run, share

#: Columns of the scores that the page has of each image, in the order of its data.
SCORES = ("iou_mean_std", "iou_fixed", "iou_otsu", "iou_val", "insertion", "deletion", "id", "correct", "target")


@dataclass(frozen=True)
class Explained:
    """One method at the gallery's seed, by image id: scores, pictures of the maps, curves in thousandths.

    Attributes:
        row: the first row of the tables that shows it.
        has_maps: whether any maps were kept; of the trivial ones only scores are shown.
    """

    row: str
    method: str
    has_maps: bool
    scores: dict[int, list[Any]]
    maps: dict[int, str]
    curves: dict[int, list[list[int]]]


def data(run: Run, maps: Path, scores: Path, store: Store, kinds: dict[int, str], room: int) -> dict[str, Any] | None:
    """What the page's gallery is drawn from, in at most about `room` bytes of JSON; None where ALA was not run.

    Where not all images fit, they are taken in the order of :func:`ala.report.html.choice.order`.

    Raises:
        UserError: a file of maps or curves is broken, or the scores name images that are not in `store`.
    """
    seed = gallery_seed(run)
    if seed is None:
        return None
    wanted = _wanted(run, seed, store)
    explained = list(_explained(run, maps, scores, seed, set(wanted)))
    taken: list[dict[str, Any]] = []
    used = 0
    for image in wanted:
        photo = _photo(image, store, explained, run.settings.active.data.mask_threshold)
        if image in kinds:
            photo["kind"] = kinds[image]
        used += len(json.dumps(photo, separators=(",", ":"))) + 1
        if used > room:
            break
        taken.append(photo)
    return {
        "seed": seed,
        "total": len(store),
        "classes": [name.split(".", 1)[-1].replace("_", " ") for name in store.names],
        "methods": [
            {
                "row": each.row,
                "label": rows.LABELS.get(each.row, each.row),
                "maps": each.has_maps,
                "scores": f"scores/{rows.place(each.method, seed, run.settings)}/scores.csv",
            }
            for each in explained
        ],
        "scores": list(SCORES),
        "share": share(run.settings).round(4).tolist(),
        "colours": pictures.colours(),
        "photos": sorted(taken, key=lambda photo: photo["id"]),
    }


def kinds(path: Path, rho: float) -> dict[int, str]:
    """Error kind by image id, from `error_top.csv`; empty where there is none.

    The kind is in the column `kind`, or in `kind_RHO` for several rho: then `rho` decides.
    """
    if not path.exists():
        return {}
    found = {}
    for row in read(path):
        kind = row.get("kind") or row.get(f"kind_{rho:g}")
        if row.get("image_id") and kind:
            found[int(row["image_id"])] = kind
    return found


def _wanted(run: Run, seed: int, store: Store) -> list[int]:
    ala = next(cell for cell in run.of("ala") if cell.seed == seed)
    score = dict(zip(ala.mapped["image_id"].tolist(), ala.mapped["iou_mean_std"].tolist(), strict=True))
    labels = dict(zip(store.image_ids.tolist(), store.labels.tolist(), strict=True))
    return choice.order(labels, score, set(ala.perturbed["image_id"].tolist()))


def _explained(run: Run, maps: Path, scores: Path, seed: int, wanted: set[int]) -> Iterator[Explained]:
    """Every method that was run at `seed`, once; maps of one method at a time lie in memory."""
    for method in rows.methods(run.settings):
        if (method, seed) not in run.cells:
            continue
        path = maps / rows.place(method, seed, run.settings) / "test.npz"
        shown = {}
        if path.exists():
            kept = Maps.load(path)
            shown = {
                int(image): pictures.heat(kept, row) for row, image in enumerate(kept.image_ids) if int(image) in wanted
            }
        curves = _curves(scores / rows.place(method, seed, run.settings) / "curves.npz")
        lines = _scores(run.cells[method, seed].scores)
        yield Explained(names.row_of(method, run.settings), method, path.exists(), lines, shown, curves)


def _scores(frame: pd.DataFrame) -> dict[int, list[Any]]:
    columns = [[_short(value) for value in frame[name].tolist()] for name in SCORES]
    return dict(zip(frame["image_id"].tolist(), map(list, zip(*columns, strict=True)), strict=True))


def _short(value: Any) -> float | int | bool | None:
    """Six digits are more than the page shows; the scores' files have the rest."""
    if pd.isna(value):
        return None
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _curves(path: Path) -> dict[int, list[list[int]]]:
    if not path.exists():
        return {}
    curves = Curves.load(path)
    both = [np.rint(part.astype(np.float64) * 1000).astype(int) for part in (curves.insertion, curves.deletion)]
    return {int(image): [part[n].tolist() for part in both] for n, image in enumerate(curves.image_ids)}


def _photo(image: int, store: Store, explained: Iterable[Explained], threshold: int) -> dict[str, Any]:
    where = store.rows_of([image])
    return {
        "id": image,
        "label": int(store.labels[where[0]]),
        "photo": pictures.photo(np.asarray(store.images[where[0]])),
        "mask": pictures.mask(store.foreground(where, threshold)[0]),
        "scores": {each.row: each.scores[image] for each in explained if image in each.scores},
        "maps": {each.row: each.maps[image] for each in explained if image in each.maps},
        "curves": {each.row: each.curves[image] for each in explained if image in each.curves},
    }
