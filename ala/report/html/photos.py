"""The gallery as data: test photos of one seed with their maps, masks, scores and curves, as small as they can be."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ala.contracts.maps import Maps
from ala.data.store import Store
from ala.metrics import iou
from ala.metrics.curves import Curves
from ala.report import rows
from ala.report.gallery import MAP_COLOURS, gallery_seed
from ala.report.html import choice, names
from ala.report.html.tables import read
from ala.report.run import Cell, Run, share

PHOTO_SIDE, MAP_SIDE, MASK_SIDE = 160, 80, 80  # pixels at most
QUALITY = 85  # of JPEG
#: Scores of a photo in the order of the page's data; curves are in thousandths.
SCORES = ("iou_mean_std", "iou_fixed", "iou_otsu", "iou_val", "insertion", "deletion", "id", "correct", "target")


@dataclass(frozen=True)
class Explained:
    """One method at the gallery's seed: its cell, its maps (None where none were kept), curves by photo and kind."""

    row: str
    cell: Cell
    maps: Maps | None
    curves: dict[int, list[list[int]]]


def data(run: Run, maps: Path, scores: Path, store: Store, kinds: dict[int, str], room: int) -> dict[str, Any] | None:
    """What the page's gallery is drawn from, in at most about `room` bytes of JSON; None where ALA was not run.

    Where not all photos fit, they are taken in the order of :func:`ala.report.html.choice.order`.

    Raises:
        UserError: a file of maps or curves is broken, or names photos that are not in `store`.
    """
    seed = gallery_seed(run)
    if seed is None:
        return None
    explained = list(_explained(run, maps, scores, seed))
    lines = {each.row: each.cell.scores.set_index("image_id") for each in explained}
    labels = dict(zip(store.image_ids.tolist(), store.labels.tolist(), strict=True))
    ours = lines["ala"]["iou_mean_std"].dropna()
    wanted = choice.order(labels, dict(ours.items()), {image for each in explained for image in each.curves})  # type: ignore[arg-type]
    taken: list[dict[str, Any]] = []
    used = 0
    for image in wanted:
        photo = _photo(image, labels[image], store, explained, lines, kinds, run.settings.active.data.mask_threshold)
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
                "maps": each.maps is not None,
                "scores": f"scores/{rows.folder(each.cell.method)}/seed-{seed}/scores.csv",
            }
            for each in explained
        ],
        "scores": list(SCORES),
        "share": share(run.settings).round(4).tolist(),
        "colours": _base64(_colours().tobytes()),
        "photos": sorted(taken, key=lambda photo: photo["id"]),
    }


def kinds(path: Path) -> dict[int, str]:
    """Error kind by image id, from the columns `image_id` and `kind` of `error_top.csv`; empty where it has none."""
    if not path.exists():
        return {}
    return {int(row["image_id"]): row["kind"] for row in read(path) if row.get("image_id") and row.get("kind")}


def _explained(run: Run, maps: Path, scores: Path, seed: int) -> Iterable[Explained]:
    """Every method that was run at `seed`, once, under the name of its first row."""
    for method in rows.methods(run.settings):
        cell = run.cells.get((method, seed))
        if cell is None:
            continue
        path = maps / method / f"seed-{seed}" / "test.npz"
        kept = scores / rows.folder(method) / f"seed-{seed}" / "curves.npz"
        row = names.row_of(method, run.settings)
        yield Explained(row, cell, Maps.load(path) if path.exists() else None, _curves(kept, method))


def _curves(path: Path, method: str) -> dict[int, list[list[int]]]:
    if not path.exists():
        return {}
    curves = Curves.load(path)
    mine = np.flatnonzero(curves.methods == method) if method in rows.TRIVIAL else np.arange(len(curves.methods))
    return {
        int(curves.image_ids[n]): [
            np.round(np.asarray(part[n], dtype=np.float64) * 1000).astype(int).tolist()
            for part in (curves.insertion, curves.deletion)
        ]
        for n in mine
    }


def _photo(
    image: int,
    label: int,
    store: Store,
    explained: list[Explained],
    lines: dict[str, pd.DataFrame],
    kinds: dict[int, str],
    threshold: int,
) -> dict[str, Any]:
    where = store.rows_of([image])
    mask = store.foreground(where, threshold)[0].astype(np.uint8) * 255  # (S, S)
    found: dict[str, Any] = {
        "id": image,
        "label": label,
        "photo": _base64(_jpeg(np.asarray(store.images[where[0]]))),
        "mask": _base64(_png(mask, MASK_SIDE, bits=1)),
        "scores": {row: [_short(line[name]) for name in SCORES] for row, line in _lines(lines, image)},
        "maps": {
            each.row: _base64(_png(_grey(each.maps, image), MAP_SIDE))
            for each in explained
            if each.maps is not None and image in each.maps.image_ids
        },
        "curves": {each.row: each.curves[image] for each in explained if image in each.curves},
    }
    if image in kinds:
        found["kind"] = kinds[image]
    return found


def _lines(lines: dict[str, pd.DataFrame], image: int) -> Iterable[tuple[str, pd.Series]]:
    return ((row, frame.loc[image]) for row, frame in lines.items() if image in frame.index)


def _short(value: Any) -> float | int | bool | None:
    """Six digits are more than the page shows; the scores' files have the rest."""
    if pd.isna(value):
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return int(value) if float(value).is_integer() else float(f"{float(value):.6g}")


def _grey(maps: Maps, image: int) -> np.ndarray:
    """One map as 8 bits `(h, w)`, scaled to its own range unless its values have a meaning of their own."""
    chosen = np.asarray(maps.select(np.array([image])))  # (1, h, w)
    scaled = chosen if maps.calibrated or maps.binary else iou.min_max(chosen)
    return np.round(scaled[0].clip(0, 1) * 255).astype(np.uint8)


def _png(values: np.ndarray, side: int, bits: int = 8) -> bytes:
    image = Image.fromarray(values)
    if max(image.size) > side:
        image = image.resize((side, side), Image.Resampling.BOX)
    if bits == 1:
        image = image.point(lambda level: 255 if level > 127 else 0).convert("1", dither=Image.Dither.NONE)
    return _saved(image, format="PNG", optimize=True)


def _jpeg(photo: np.ndarray) -> bytes:
    image = Image.fromarray(photo)
    if max(image.size) > PHOTO_SIDE:
        image = image.resize((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS)
    return _saved(image, format="JPEG", quality=QUALITY, optimize=True)


def _saved(image: Image.Image, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, **options)
    return file.getvalue()


def _colours() -> np.ndarray:
    """The colours of grey levels 0 to 255, uint8 `(256, 3)`; the figures use the same."""
    import matplotlib as mpl

    return np.round(mpl.colormaps[MAP_COLOURS](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
