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
from ala.data.image_cache import ImageCache
from ala.metrics.curves import Curves
from ala.report.gallery import gallery_seed
from ala.report.html import choice, pictures
from ala.report.rows import Row
from ala.report.run import Run, share

#: Scores that the page has of each image, in the order of its data: name, protocol and metric.
SCORES = (
    *((f"iou_{rule}", f"majority-{rule}", "iou") for rule in ("mean_std", "fixed", "otsu", "val")),
    *((name, "official-predicted", name) for name in ("insertion", "deletion", "id")),
    ("correct", "prediction", "correct"), ("target", "prediction", "target"),
)  # fmt: skip


@dataclass(frozen=True)
class Explained:
    """One method at the gallery's seed, by image id: scores, pictures of the maps, curves in thousandths.

    Attributes:
        row: the first row of the tables that shows it.
        maps: of maps that need no model only scores are shown.
    """

    row: Row
    scores: dict[int, list[Any]]
    maps: dict[int, str]
    curves: dict[int, list[list[int]]]


def data(
    run: Run, maps: Path, scores: Path, cache: ImageCache, kinds: dict[int, str], room: int
) -> dict[str, Any] | None:
    """What the page's gallery is drawn from, in at most about `room` bytes of JSON; None where the main model's own
    map was not made.

    Where not all images fit, they are taken in the order of :func:`ala.report.html.choice.order`.

    Raises:
        UserError: a file of maps or curves is broken, or the scores name images that are not in `image_cache`.
    """
    seed = gallery_seed(run)
    if seed is None:
        return None
    wanted = _wanted(run, seed, cache)
    explained = list(_explained(run, maps, scores, seed, set(wanted)))
    taken: list[dict[str, Any]] = []
    used = 0
    for image in wanted:
        entry = _image(image, cache, explained, run.settings.active.data.mask_threshold)
        if image in kinds:
            entry["kind"] = kinds[image]
        used += len(json.dumps(entry, separators=(",", ":"))) + 1
        if used > room:
            break
        taken.append(entry)
    return {
        "seed": seed,
        "total": len(cache),
        "classes": [name.split(".", 1)[-1].replace("_", " ") for name in cache.names],
        "methods": [
            {
                "row": each.row.name,
                "look": each.row.look.index,
                "label": each.row.label,
                "maps": bool(each.maps),
                "scores": f"scores/{each.row.folder(seed)}/scores.csv",
            }
            for each in explained
        ],
        "scores": [name for name, *_ in SCORES],
        "share": share(run.settings).round(4).tolist(),
        "colours": pictures.colours(),
        "images": sorted(taken, key=lambda entry: entry["id"]),
    }


def kinds(top: pd.DataFrame, rho: float) -> dict[int, str]:
    """Error kind by image id, from the frame of `error_top.csv`; `rho` decides."""
    return dict(zip(top["image_id"].astype(int), top[f"kind_{rho:g}"], strict=True))


def _wanted(run: Run, seed: int, cache: ImageCache) -> list[int]:
    assert run.main is not None
    labels = dict(zip(cache.image_ids.tolist(), cache.labels.tolist(), strict=True))
    score = {int(str(image)): float(value) for image, value in run.of(run.main, "miou")[seed].items()}
    return choice.order(labels, score, set(run.of(run.main, "insertion")[seed].index))


def _explained(run: Run, maps: Path, scores: Path, seed: int, wanted: set[int]) -> Iterator[Explained]:
    """Every method that was run at `seed`, once; maps of one method at a time lie in memory."""
    for row in run.rows.methods:
        if seed not in run.seeds(row):
            continue
        path = maps / row.folder(seed) / "test.npz"
        shown = {}
        if row.kind != "baseline" and path.exists():
            kept = Maps.load(path)
            shown = {int(image): pictures.heat(kept, place)
                     for place, image in enumerate(kept.image_ids) if int(image) in wanted}  # fmt: skip
        yield Explained(row, _scores(run, row, seed), shown, _curves(scores / row.folder(seed) / "curves.npz"))


def _scores(run: Run, row: Row, seed: int) -> dict[int, list[Any]]:
    columns = {name: run.under(row, protocol, metric)[seed] for name, protocol, metric in SCORES}
    frame = pd.DataFrame(columns)
    return {int(str(image)): [_short(name, value) for name, value in zip(columns, line, strict=True)]
            for image, line in zip(frame.index, frame.to_numpy().tolist(), strict=True)}  # fmt: skip


def _short(name: str, value: float) -> float | int | bool | None:
    """Six digits are more than the page shows; the scores' files have the rest."""
    if pd.isna(value):
        return None
    return {"correct": bool, "target": int}.get(name, lambda number: float(f"{number:.6g}"))(value)


def _curves(path: Path) -> dict[int, list[list[int]]]:
    """Insertion and deletion in thousandths, by image id."""
    if not path.exists():
        return {}
    curves = Curves.load(path)
    both = [np.rint(part.astype(np.float64) * 1000).astype(int) for part in (curves.insertion, curves.deletion)]
    return {int(image): [part[place].tolist() for part in both] for place, image in enumerate(curves.image_ids)}


def _image(image: int, cache: ImageCache, explained: Iterable[Explained], threshold: int) -> dict[str, Any]:
    where = cache.indices_of([image])
    return {
        "id": image,
        "label": int(cache.labels[where[0]]),
        "image": pictures.image(np.asarray(cache.images[where[0]])),
        "mask": pictures.mask(cache.foreground(where, threshold)[0]),
        "scores": {each.row.name: each.scores[image] for each in explained if image in each.scores},
        "maps": {each.row.name: each.maps[image] for each in explained if image in each.maps},
        "curves": {each.row.name: each.curves[image] for each in explained if image in each.curves},
    }
