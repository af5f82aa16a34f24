"""A made-up run on disk: a small data set, its image cache, and maps, scores and curves of every method and seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image, ImageDraw

from ala.config import Settings, load
from ala.contracts import scores as contract
from ala.contracts.maps import Maps, resize
from ala.data.decode import Reading
from ala.data.image_cache import ImageCache
from ala.data.image_cache_build import build_image_cache
from ala.data.index import checked
from ala.data.layouts.cub import read_cub
from ala.data.split import split, write_splits
from ala.metrics import fix_tables, iou
from ala.metrics.curves import Curves, area
from ala.metrics.errors import FLAGS, shares
from ala.metrics.insertion_deletion import CLASSES as TARGETS
from ala.metrics.lab import LEVELS, SUBSTRATES
from ala.report.rows import Row, rows_of
from ala.utils.files import write_json

ROOT = Path(__file__).resolve().parents[2]
SIZE, CLASSES, PER_CLASS, TEST = 40, 3, 3, 4  # per class: 3 official-train images, 4 test images
USED = {"precision": "fp32", "device": "cpu", "gpu": None, "threads": 2, "batch": 64}  # by all stages
#: A method of the user's own (tests/report/mine.py), and how good the maps of each row are.
MINE = "tests.report.mine:Mine"
QUALITY = {
    "ala": 0.9, "i": 0.6, "ii": 0.7, "iv": 0.5, "fcam": 0.7, "rise": 0.4, "abn": 0.5, MINE: 0.45,
    "full": 0.1, "center": 0.3, "noise": 0.0, "box": 0.8,
}  # fmt: skip
PERTURBED = ("insertion", "deletion", "id")
LAB = [f"lab-{substrate}-{levels}-{target}" for substrate in SUBSTRATES for levels in LEVELS for target in TARGETS]


def write_params(folder: Path, **changes: object) -> Settings:
    """The project's params.yaml with a small data set; `changes` go to the top level."""
    params = load(ROOT / "params.yaml").model_dump()
    mini = params["profiles"]["mini"]
    mini["data"] |= {"source": "folder", "input_size": SIZE, "train_per_class": 2}
    mini["metrics"] |= {"images_per_class": 2, "step": 300}  # the last of six steps is a short one
    mini["errors"] |= {"at_least": 5}
    mini["fcam"]["input_size"] = SIZE
    params["methods"] = ["ala+i+ii+iii+iv", "fcam", "rise", "abn", MINE, "full+center+noise+box"]
    params |= changes
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return load(folder / "params.yaml")


def write_run(folder: Path, settings: Settings) -> None:
    """Everything that `stages.report` reads, below `folder`: data/, models/, maps/, scores/."""
    draw_data(folder / "data/dataset")
    index = checked(read_cub(folder / "data/dataset"))
    splits = split(index, 0, 2)
    write_splits(folder / "data/splits", splits)
    build_image_cache(folder / f"data/image_cache/{SIZE}", index, splits, SIZE, Reading.of(settings.active.data))
    facts = {"photos": 21, "classes": CLASSES, "box_area_share": {"mean": 0.25, "median": 0.2}}
    write_json(folder / "data/metrics.json", facts)
    write_json(folder / "models/encoder/metrics.json", {"zero_shot_accuracy": 0.95, "n_images": 12, "used": USED})
    write_json(folder / "models/encoder/encoder.json", {"sha256": "e" * 64})
    image_cache = ImageCache.open(folder / f"data/image_cache/{SIZE}", "test")
    rows = rows_of(settings)
    for seed in settings.seeds:
        for row in rows.methods:
            rng = np.random.default_rng([seed, *row.name.encode()])
            maps = make_maps(image_cache, row, QUALITY[row.name], rng)
            write_scores(folder, row, maps, image_cache, rng, seed, settings)
            trained = row.evaluated == row.method
            if trained and row.name != "fcam":
                write_training(folder / f"models/{row.method}/seed-{seed}", row.method, QUALITY[row.name], rng)
        write_edge(folder, rows["ala"], image_cache, seed, settings)
        write_layers(folder, rows["abn"], image_cache, seed, settings)


def write_layers(folder: Path, abn: Row, image_cache: ImageCache, seed: int, settings: Settings) -> None:
    """What the stage `layers` writes: ABN gets worse with depth, all features weigh the same."""
    layers, parts = settings.active.layers.abn, []
    for depth, layer in enumerate(layers):
        rng = np.random.default_rng([seed, 7, layer])
        row = replace(abn, method=f"abn-layer-{layer}", evaluated=f"abn-layer-{layer}")
        maps = make_maps(image_cache, row, 0.8 - 0.2 * depth, rng)
        parts.append(long_scores(row, maps, image_cache, rng, seed, settings)[0])
    out = folder / "scores" / "layers" / f"seed-{seed}"
    out.mkdir(parents=True)
    contract.save(pd.concat(parts), out / "scores.csv")
    features = {
        "feature": layers,
        "block": layers,
        "n_images": len(image_cache),
        "share": 1 / len(layers),
        "miou_without": 0.3,
    }
    pd.DataFrame({"seed": seed, **features, "accuracy_without": 0.7}).to_csv(out / "features.csv", index=False)


def draw_data(root: Path) -> None:
    """Coloured discs on coloured background, in CUB's layout; every second image counts as reflected."""
    lists: dict[str, list[str]] = {name: [] for name in ("images", "labels", "split", "boxes", "reflections")}
    number = 0
    for label in range(CLASSES):
        name = f"{label + 1:03d}.Disc_{label}"
        for copy in range(PER_CLASS + TEST):
            number += 1
            rng = np.random.default_rng([7, number])
            left, top, side = (int(value) for value in (*rng.integers(3, 15, 2), rng.integers(18, 26)))
            drawn = Image.fromarray(rng.integers(120, 200, (44, 48, 3), dtype=np.uint8))
            mask = Image.new("L", (48, 44))
            for image, colour in ((drawn, (40 + 60 * label, 30, 90)), (mask, 255)):
                ImageDraw.Draw(image).ellipse((left, top, left + side, top + side * 2 // 3), fill=colour)
            for kind, image, suffix in (("images", drawn, "jpg"), ("segmentations", mask, "png")):
                path = root / kind / name / f"{number}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                image.save(path)
            lists["images"].append(f"{number} {name}/{number}.jpg")
            lists["labels"].append(f"{number} {label + 1}")
            lists["split"].append(f"{number} {int(copy < PER_CLASS)}")
            lists["boxes"].append(f"{number} {left} {top} {side} {side * 2 // 3}")
            lists["reflections"].append(f"{number} {number % 2}")
    files = {"labels": "image_class_labels", "split": "train_test_split", "boxes": "bounding_boxes"}
    for kind, lines in lists.items():
        (root / f"{files.get(kind, kind)}.txt").write_text("\n".join(lines) + "\n")
    classes = "\n".join(f"{label + 1} {label + 1:03d}.Disc_{label}" for label in range(CLASSES))
    (root / "classes.txt").write_text(classes + "\n")


def make_maps(image_cache: ImageCache, row: Row, quality: float, rng: np.random.Generator) -> Maps:
    """The mask and noise, mixed by `quality`, at a quarter of the image size; RISE explains every second image."""
    chosen = np.arange(0, len(image_cache), 2 if row.on_subset else 1)
    truth = image_cache.foreground(chosen).astype(np.float32)  # (n, S, S)
    coarse = truth.reshape(len(chosen), SIZE // 4, 4, SIZE // 4, 4).mean(axis=(2, 4))
    noise = rng.random(coarse.shape).astype(np.float32)
    return Maps(
        image_cache.image_ids[chosen], quality * coarse + (1 - quality) * noise, row.method, row.evaluated,
        np.full(len(chosen), -1), calibrated=row.name == "fcam",
    )  # fmt: skip


def long_scores(
    row: Row, maps: Maps, image_cache: ImageCache, rng: np.random.Generator, seed: int, settings: Settings
) -> tuple[pd.DataFrame, Curves]:
    """Real IoU of the maps, made-up curves of every second image, protocols that find the same."""
    where = image_cache.indices_of(maps.image_ids)
    scaled, truth = resize(maps.importance, SIZE), image_cache.foreground(where)
    subset = np.arange(0, len(image_cache), 2)
    climb = np.linspace(0, 1, 7) ** rng.uniform(0.3, 1.2, (len(subset), 1))  # (m, T + 1)
    curves = Curves(
        np.full(len(subset), row.method), image_cache.image_ids[subset], image_cache.labels[subset],
        climb.astype(np.float32), climb[:, ::-1].astype(np.float32) * 0.5, np.zeros(len(subset)), 100,
    )  # fmt: skip
    few, quality = image_cache.image_ids[subset], QUALITY.get(row.name, 0.5)
    inserted, deleted = area(curves.insertion), area(curves.deletion)
    noisy = quality + 0.02 * rng.random(len(few))
    made: dict[str, np.ndarray] = {"localisation/pointing": noisy, "localisation/energy": noisy}
    for rule in iou.RULES:
        made[f"anyone-{rule}/iou"] = noisy
    for name, high, low in [(f"official-{target}", inserted, deleted) for target in TARGETS] + [
        (name, noisy, 0.5 - noisy / 2) for name in LAB
    ]:
        made |= {f"{name}/insertion": high, f"{name}/deletion": low, f"{name}/id": high - low}

    def rows(ids: np.ndarray | None, numbers: dict[str, Any], model: str = row.evaluated) -> pd.DataFrame:
        return contract.long_rows(row.method, model, seed, ids, numbers)

    label = {"label": image_cache.labels, "target": image_cache.labels, "correct": rng.random(len(image_cache)) < 0.9}
    parts = [rows(image_cache.image_ids, {f"prediction/{name}": values for name, values in label.items()})]
    for rule in iou.RULES:
        predicted = iou.predict(scaled, rule, 0.4)
        found = {"iou": iou.iou(predicted, truth), "empty": ~predicted.any(axis=(1, 2))}
        parts.append(rows(maps.image_ids, {f"majority-{rule}/{name}": values for name, values in found.items()}))
    parts.append(rows(few, made))
    whole = {f"localisation/{name}": quality for name in ("maxboxacc", "maxboxaccv2", "pxap")}
    parts.append(rows(None, {**whole, "official/forwards": 100, "official/tie_share": 0.0}))
    if row.evaluated != settings.main_variant:
        half = {f"common-predicted/{name}": made[f"lab-zero-none-true/{name}"] / 2 for name in PERTURBED}
        parts.append(rows(few, half, settings.main_variant))
    return pd.concat(parts, ignore_index=True), curves


def write_scores(
    folder: Path, row: Row, maps: Maps, image_cache: ImageCache, rng: np.random.Generator, seed: int, settings: Settings
) -> None:
    """What a cell of methods writes."""
    scores, curves = long_scores(row, maps, image_cache, rng, seed, settings)
    out = folder / "scores" / row.folder(seed)
    contract.save(scores, out / "scores.csv")
    curves.save(out / "curves.npz")
    summary = {"method": row.method, "model": maps.model, "tau_val": 0.4, "used": USED}
    write_json(out / "summary.json", summary | {"collapsed_constant": 0, "collapsed_one_pixel": 0})
    maps.save(folder / "maps" / row.folder(seed) / "test.npz")
    write_json(folder / "maps" / row.folder(seed) / "used.json", {"used": USED})


def write_edge(folder: Path, main: Row, image_cache: ImageCache, seed: int, settings: Settings) -> None:
    """What the stage `edge` writes: real shares of the main model's maps, made-up gains and flags."""
    scores = contract.load(folder / "scores" / main.folder(seed) / "scores.csv")
    original = contract.wide(scores).rename(columns={"iou_mean_std": "iou", "empty_mean_std": "empty"})
    gains = dict(zip(fix_tables.FIXES, (0, -0.05, 0.02, 0.04), strict=True))
    fixes = [
        original.assign(fix=fix, iou=original["iou"] + gain, insertion=original["insertion"] + gain / 2)
        for fix, gain in gains.items()
    ]
    scaled = resize(Maps.load(folder / "maps" / main.folder(seed) / "test.npz").importance, SIZE)
    kinds = []
    for rule in fix_tables.RULES:
        found = shares(iou.predict(scaled, rule, 0.4), image_cache.foreground(slice(None)))
        flags = {flag: image_cache.image_ids % (place + 2) == 0 for place, flag in enumerate(FLAGS)}
        head = {"rule": rule, "seed": seed, "image_id": image_cache.image_ids, "label": image_cache.labels}
        kinds.append(pd.DataFrame({**head, **found, **flags}))
    out = folder / "scores" / "edge" / f"seed-{seed}"
    fix_tables.save(pd.concat(fixes, ignore_index=True), out / "edge.csv")
    fix_tables.save(pd.concat(kinds, ignore_index=True), out / "errors.csv")
    kappas = settings.active.edge.kappas
    by_kappa = [{"kappa": kappa, "miou": 0.7 - abs(kappa - 0.75) - seed / 10} for kappa in kappas]
    val = {"original": 0.65, "kappa": by_kappa, "guided": [{"radius": 2, "eps": 0.001, "miou": 0.66}]}
    write_json(
        out / "summary.json",
        {"model": main.method, "kappa": 0.75, "radius": 2, "eps": 0.001, "val_miou": val, "used": USED},
    )


def write_training(folder: Path, model: str, quality: float, rng: np.random.Generator, epochs: int = 12) -> None:
    """A training curve in the columns of the train stage, empty where an off epoch validates nothing."""
    epoch = np.arange(epochs)
    on = (epoch % 2 == 1) | (not model.startswith("aea-true"))
    fall = np.exp(-epoch / 4) + 0.05 * rng.random(epochs)
    frame = pd.DataFrame(
        {
            "epoch": epoch,
            "phase": np.where(on, "on", "off"),
            "lr": 1e-3,
            "train_loss": 2 * fall,
            "train_accuracy": 1 - 0.8 * fall / fall.max(),
            "val_loss": np.where(on, 2.2 * fall, np.nan),
            "val_accuracy_pb": np.where(on, 0.95 - 0.8 * fall / fall.max(), np.nan),
            "val_accuracy_pb_plus_ab": np.where(on, 0.95 - 0.8 * fall / fall.max(), np.nan),
            "val_miou": np.where(on, quality * (1 - fall / 2), np.nan),
            "alpha_mean": np.where(on, 0.3, np.nan),
            "alpha_std": np.where(on, 0.2, np.nan),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "curve.csv", index=False)
    write_json(folder / "model.json", {"epoch": epochs - 1, "used": USED})
    (folder / "weights.safetensors").write_bytes(model.encode())
