"""A made-up run on disk: a small data set, its store, and maps, scores and curves of every method and seed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image, ImageDraw

from ala.config import Settings, load
from ala.contracts import scores as contract
from ala.contracts.maps import Maps, resize
from ala.data.cub import read_cub
from ala.data.decode import Reading
from ala.data.split import split, write_splits
from ala.data.store import Store
from ala.data.store_build import build_store
from ala.metrics import fix_tables, iou
from ala.metrics.curves import Curves, area
from ala.metrics.errors import FLAGS, shares
from ala.metrics.lab import LEVELS, SUBSTRATES
from ala.report import rows
from ala.utils.files import write_json

ROOT = Path(__file__).resolve().parents[2]
SIZE, CLASSES, PER_CLASS, TEST = 40, 3, 3, 4  # per class: 3 official-train photos, 4 test photos
USED = {"precision": "fp32", "device": "cpu", "gpu": None, "threads": 2, "batch": 64}  # by all stages
LAB = [f"lab-{substrate}-{name}-{one}" for substrate in SUBSTRATES for name in LEVELS for one in ("predicted", "true")]
QUALITY = {
    "aea-true-sbn-true": 0.9,
    "aea-true-sbn-false": 0.6,
    "aea-false-sbn-true": 0.7,
    "aea-false-sbn-false": 0.5,
    "fcam": 0.7,
    "rise": 0.4,
    "abn": 0.5,
}


def write_params(folder: Path, **changes: object) -> Settings:
    """The project's params.yaml with a small data set; `changes` go to the top level."""
    params = load(ROOT / "params.yaml").model_dump()
    mini = params["profiles"]["mini"]
    mini["data"] |= {"source": "folder", "input_size": SIZE, "train_per_class": 2}
    mini["metrics"] |= {"images_per_class": 2, "step": 300}  # the last of six steps is a short one
    mini["errors"] |= {"at_least": 5}
    mini["fcam"]["input_size"] = SIZE
    params |= changes
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return load(folder / "params.yaml")


def write_run(folder: Path, settings: Settings) -> None:
    """Everything that `stages.report` reads, below `folder`: data/, models/, maps/, scores/."""
    draw_data(folder / "data/dataset")
    index = read_cub(folder / "data/dataset")
    splits = split(index, 0, 2)
    write_splits(folder / "data/splits", splits)
    build_store(folder / f"data/store/{SIZE}", index, splits, SIZE, Reading.of(settings.active.data))
    facts = {"photos": 21, "classes": CLASSES, "box_area_share": {"mean": 0.25, "median": 0.2}}
    write_json(folder / "data/metrics.json", facts)
    write_json(folder / "models/encoder/metrics.json", {"zero_shot_accuracy": 0.95, "n_images": 12, "used": USED})
    write_json(folder / "models/encoder/encoder.json", {"sha256": "e" * 64})
    store = Store.open(folder / f"data/store/{SIZE}", "test")
    for method, quality in QUALITY.items():
        for seed in settings.seeds:
            rng = np.random.default_rng([seed, *method.encode()])
            write_scores(folder, make_maps(store, method, quality, rng, settings), store, rng, seed, settings)
            if method not in ("rise", "fcam"):
                write_training(folder / f"models/{method}/seed-{seed}", method, quality, rng)
    for seed in settings.seeds:
        rng = np.random.default_rng([seed, 99])
        for name, quality in zip(rows.TRIVIAL, (0.1, 0.3, 0.0, 0.8), strict=True):
            write_scores(folder, make_maps(store, name, quality, rng, settings), store, rng, seed, settings)
        write_edge(folder, store, seed, settings)
    for seed in settings.seeds:
        write_layers(folder, store, seed, settings)
        write_protocols(folder, store, seed, settings)


def write_protocols(folder: Path, store: Store, seed: int, settings: Settings) -> None:
    """Scores under the other protocols: half of the photos; methods are as good as their quality everywhere."""
    rng = np.random.default_rng([seed, 11])
    ids = store.image_ids[::2]
    quality = {**QUALITY, **dict(zip(rows.TRIVIAL, (0.1, 0.3, 0.05, 0.8), strict=True))}
    for method, level in quality.items():
        noisy = level + 0.02 * rng.random(len(ids))
        columns = {"insertion": noisy, "deletion": 0.5 - noisy / 2, "id": 1.5 * noisy - 0.5}
        found = {f"{protocol}/{name}": values for protocol in LAB for name, values in columns.items()}
        found |= {f"anyone-{rule}/iou": noisy for rule in iou.RULES}
        found |= {"localisation/pointing": noisy, "localisation/energy": noisy}
        model = settings.main_variant if method in (*rows.TRIVIAL, "rise") else method
        if model != settings.main_variant:
            found |= {f"common-predicted/{name}": values / 2 for name, values in columns.items()}
        whole = {f"localisation/{name}": level for name in ("maxboxacc", "maxboxaccv2", "pxap")}
        path = folder / "scores" / rows.place(method, seed, settings) / "scores.csv"
        long = [contract.long_rows(method, model, seed, *one) for one in ((ids, found), (None, whole))]
        contract.save(pd.concat([contract.load(path), *long], ignore_index=True), path)


def write_layers(folder: Path, store: Store, seed: int, settings: Settings) -> None:
    """What the stage `layers` writes: ABN gets worse with depth, all taps weigh the same."""
    layers = settings.active.layers.abn
    for depth, layer in enumerate(layers):
        rng = np.random.default_rng([seed, 7, layer])
        maps = make_maps(store, f"abn-layer-{layer}", 0.8 - 0.2 * depth, rng, settings)
        write_scores(folder, maps, store, rng, seed, settings)
    parts = [folder / "scores" / rows.place(f"abn-layer-{layer}", seed, settings) for layer in layers]
    out = folder / "scores" / "layers" / f"seed-{seed}"
    out.mkdir(parents=True)
    contract.save(pd.concat([contract.load(part / "scores.csv") for part in parts]), out / "scores.csv")
    taps = {"tap": layers, "block": layers, "n_images": len(store), "share": 1 / len(layers), "miou_without": 0.3}
    pd.DataFrame({"seed": seed, **taps, "accuracy_without": 0.7}).to_csv(out / "taps.csv", index=False)
    for part in parts:
        shutil.rmtree(part.parents[1])
        shutil.rmtree(folder / "maps" / part.parts[-3])


def draw_data(root: Path) -> None:
    """Coloured discs on coloured ground, in CUB's layout; every second photo counts as reflected."""
    lists: dict[str, list[str]] = {name: [] for name in ("images", "labels", "split", "boxes", "reflections")}
    number = 0
    for label in range(CLASSES):
        name = f"{label + 1:03d}.Disc_{label}"
        for copy in range(PER_CLASS + TEST):
            number += 1
            rng = np.random.default_rng([7, number])
            left, top, side = (int(value) for value in (*rng.integers(3, 15, 2), rng.integers(18, 26)))
            photo = Image.fromarray(rng.integers(120, 200, (44, 48, 3), dtype=np.uint8))
            mask = Image.new("L", (48, 44))
            for image, colour in ((photo, (40 + 60 * label, 30, 90)), (mask, 255)):
                ImageDraw.Draw(image).ellipse((left, top, left + side, top + side * 2 // 3), fill=colour)
            for kind, image, suffix in (("images", photo, "jpg"), ("segmentations", mask, "png")):
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


def make_maps(store: Store, method: str, quality: float, rng: np.random.Generator, settings: Settings) -> Maps:
    """The mask and noise, mixed by `quality`, at a quarter of the side."""
    chosen = np.arange(len(store)) if method != "rise" else np.arange(0, len(store), 2)
    truth = store.foreground(chosen).astype(np.float32)  # (n, S, S)
    coarse = truth.reshape(len(chosen), SIZE // 4, 4, SIZE // 4, 4).mean(axis=(2, 4))
    noise = rng.random(coarse.shape).astype(np.float32)
    model = settings.main_variant if method == "rise" else method
    return Maps(
        store.image_ids[chosen], quality * coarse + (1 - quality) * noise, method, model, np.full(len(chosen), -1),
        calibrated=method == "fcam",
    )  # fmt: skip


def long_of(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """The long rows behind a table in the columns of :data:`ala.contracts.scores.COLUMNS`."""
    numbers = {
        f"{protocol}/{metric}": table[column].astype(float).to_numpy()
        for column, (protocol, metric) in contract.WIDE.items()
    }
    method, seed = table["method"].iloc[0], int(table["seed"].iloc[0])
    return contract.long_rows(method, model, seed, table["image_id"].to_numpy(), numbers)


def write_scores(
    folder: Path, maps: Maps, store: Store, rng: np.random.Generator, seed: int, settings: Settings
) -> None:
    """Real IoU of the maps, made-up curves: what the stage `score` writes."""
    where = store.rows_of(maps.image_ids)
    scaled, truth = resize(maps.importance, SIZE), store.foreground(where)
    columns: dict[str, object] = {
        "method": maps.method, "seed": seed, "image_id": store.image_ids, "label": store.labels,
        "target": store.labels, "correct": rng.random(len(store)) < 0.9,
    }  # fmt: skip
    for rule in iou.RULES:
        values, empty = np.full(len(store), np.nan), pd.array([pd.NA] * len(store), dtype="boolean")
        predicted = iou.predict(scaled, rule, 0.4)
        values[where], empty[where] = iou.iou(predicted, truth), ~predicted.any(axis=(1, 2))
        columns[f"iou_{rule}"], columns[f"empty_{rule}"] = values, empty
    subset = np.arange(0, len(store), 2)
    climb = np.linspace(0, 1, 7) ** rng.uniform(0.3, 1.2, (len(subset), 1))  # (m, T + 1)
    made = Curves(
        np.full(len(subset), maps.method), store.image_ids[subset], store.labels[subset], climb.astype(np.float32),
        climb[:, ::-1].astype(np.float32) * 0.5, np.zeros(len(subset)), 100,
    )  # fmt: skip
    for name in ("insertion", "deletion"):
        columns[name] = np.full(len(store), np.nan)
        columns[name][subset] = area(getattr(made, name))  # type: ignore[index]
    columns["id"] = columns["insertion"] - columns["deletion"]  # type: ignore[operator]
    place = rows.place(maps.method, seed, settings)
    model = settings.main_variant if maps.method in rows.TRIVIAL else maps.model
    maps.save(folder / "maps" / place / "test.npz")
    trivial = maps.method in rows.TRIVIAL
    write_json(folder / "maps" / place / "used.json", {"used": None if trivial else USED})
    out = folder / "scores" / place
    contract.save(long_of(pd.DataFrame(columns)[contract.COLUMNS], model), out / "scores.csv")
    made.save(out / "curves.npz")
    made.save(out / "true_class.npz")  # as if every prediction were right
    write_json(out / "summary.json", {"model": maps.model, "evaluated": model, "tau_val": 0.4, "used": USED})


def write_edge(folder: Path, store: Store, seed: int, settings: Settings) -> None:
    """What the stage `edge` writes: real shares of the main model's maps, made-up gains and flags."""
    main = settings.main_variant
    place = rows.place(main, seed, settings)
    scores = contract.wide(contract.load(folder / "scores" / place / "scores.csv"))
    original = scores.rename(columns={"iou_mean_std": "iou", "empty_mean_std": "empty"})
    gains = dict(zip(fix_tables.FIXES, (0, -0.05, 0.02, 0.04), strict=True))
    fixes = [
        original.assign(fix=fix, iou=original["iou"] + gain, insertion=original["insertion"] + gain / 2)
        for fix, gain in gains.items()
    ]
    scaled = resize(Maps.load(folder / "maps" / place / "test.npz").importance, SIZE)
    kinds = []
    for rule in fix_tables.RULES:
        found = shares(iou.predict(scaled, rule, 0.4), store.foreground(slice(None)))
        flags = {flag: store.image_ids % (place + 2) == 0 for place, flag in enumerate(FLAGS)}
        head = {"rule": rule, "seed": seed, "image_id": store.image_ids, "label": store.labels}
        kinds.append(pd.DataFrame({**head, **found, **flags}))
    out = folder / "scores" / "edge" / f"seed-{seed}"
    fix_tables.save(pd.concat(fixes, ignore_index=True), out / "edge.csv")
    fix_tables.save(pd.concat(kinds, ignore_index=True), out / "errors.csv")
    kappas = settings.active.edge.kappas
    by_kappa = [{"kappa": kappa, "miou": 0.7 - abs(kappa - 0.75) - seed / 10} for kappa in kappas]
    val = {"original": 0.65, "kappa": by_kappa, "guided": [{"radius": 2, "eps": 0.001, "miou": 0.66}]}
    write_json(
        out / "summary.json", {"model": main, "kappa": 0.75, "radius": 2, "eps": 0.001, "val_miou": val, "used": USED}
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
