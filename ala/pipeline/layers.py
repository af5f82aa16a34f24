"""What an arbitrary layer costs: ABN on each encoder layer in turn, and ALA's weight on each feature (slide 6)."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ala import registry
from ala.config.schema import ROWS, variant_name
from ala.contracts import scores as contract
from ala.explainers.attention import own_maps
from ala.explainers.features import feature_shares, side_branch, without_feature
from ala.metrics.iou import mean_std_ious
from ala.model.checkpoint import read_about
from ala.perturbation import predict as probabilities
from ala.pipeline import code, shards
from ala.pipeline.context import Context
from ala.pipeline.explain import IMAGES
from ala.pipeline.methods import Method, model_digest
from ala.pipeline.score import Scored, score
from ala.pipeline.train import train
from ala.utils.files import atomic_folder, write_json

#: Metrics of each layer's maps.
METRICS = ["prediction", "iou", "insertion-deletion"]


def run(context: Context, scores: Path) -> tuple[list[Scored], pd.DataFrame]:
    """Train and score ABN on every layer of layers.abn; weigh and knock out the features that ALA's SBN reads.

    All else of ABN stays as it is, and no layer is chosen by what is found: abn.layer comes from validation images. The
    layer abn.layer itself is taken from models/abn; the others are trained into the state folder.

    Writes SCORES/layers/seed-SEED/scores.csv (long, methods `abn-layer-K`), features.csv and summary.json.
    """
    profile = context.profile
    found, trained = [], []
    for layer in profile.layers.abn:
        where, model = context, "abn"
        if layer != profile.abn.layer:
            model = f"abn-layer-{layer}"
            where = replace(context, models=shards.folder().parent / "layers", encoder=context.models / "encoder")
            other = profile.model_copy(update={"abn": profile.abn.model_copy(update={"layer": layer})})
            out = where.models / model / f"seed-{context.seed}"
            train(context, "abn", other, out, f"layers/{model}")
            trained.append(out)
        attention = registry.find("explainers", "attention")
        found.append(score(where, Method(f"abn-layer-{layer}", attention, model, model, {}), METRICS))
        about = read_about(where.models / model / f"seed-{context.seed}")
        found[-1].summary["used_in_training"] = about.get("used")
    features = weigh_features(context)
    with atomic_folder(scores / "layers" / f"seed-{context.seed}") as out:
        contract.save(pd.concat([one.rows for one in found], ignore_index=True), out / "scores.csv")
        features.to_csv(out / "features.csv", index=False, lineterminator="\n")
        write_json(out / "summary.json", {one.summary["method"]: one.summary for one in found})
    for out in trained:
        shutil.rmtree(out)
    return found, features


def weigh_features(context: Context) -> pd.DataFrame:
    """One row per feature that ALA's SBN reads:
    `seed, feature, block, n_images, share, miou_without, accuracy_without`.

    Means over test images; mean IoU by the mean + std rule. ALA is row (iii), whatever the main model is.
    """
    name = variant_name(**ROWS["iii"])
    model, test = context.model(name).model, context.split("test")
    decides = {
        **context.decides, "model": model_digest(name, context.seed, context.models), "code": code.digest(__name__),
        "data": context.profile.data.model_dump(mode="json"), "batch": context.profile.metrics.batch,
    }  # fmt: skip
    lines = []
    for feature, block in side_branch(model).fusion_map.items():
        pieces = [
            shards.shard(
                f"feature-{feature}-seed-{context.seed}", {**decides, "feature": feature, "start": start, "stop": stop},
                feature_shard, (context, name, feature, np.arange(start, stop)), stop - start,
            )
            for start, stop in shards.pieces(len(test), IMAGES)
        ]  # fmt: skip
        parts = list(shards.compute(pieces, context.executor, f"without feature {feature}"))
        share, without, correct = (np.concatenate([part[key] for part in parts]) for key in ("share", "iou", "correct"))
        lines.append(
            {"seed": context.seed, "feature": feature, "block": block, "n_images": len(test), "share": share.mean(),
             "miou_without": without.mean(), "accuracy_without": correct.mean()}
        )  # fmt: skip
    return pd.DataFrame(lines)


def feature_shard(context: Context, name: str, feature: int, index: np.ndarray) -> shards.Arrays:
    """Of test images `index`: the feature's `share`, and `iou` and `correct` without it, each `(n,)`."""
    model, test = context.model(name).model, context.split("test")
    batch, device = context.profile.metrics.batch, context.device
    images = model.preprocessing.normalise(test.pixels(index).to(device))  # (n, 3, S, S)
    shares = feature_shares(model, images, batch)
    with without_feature(model, feature):
        maps = own_maps(model.explain, images, batch).numpy()
        predicted = probabilities(model, test, index, batch, device).argmax(axis=1)

    def objects(some: np.ndarray) -> np.ndarray:  # (b, S, S)
        return test.foreground(index[some], context.profile.data.mask_threshold)

    return {
        "share": shares[feature],
        "iou": mean_std_ious(maps, objects, test.size),
        "correct": predicted == test.labels[index],
    }


def means(one: Scored) -> dict[str, Any]:
    """Accuracy, mean IoU (mean + std) and ID of a layer, for a line of text."""
    table = contract.wide(one.rows)
    return {"method": one.summary["method"], "accuracy": table["correct"].mean(),
            "miou": table["iou_mean_std"].mean(), "id": table["id"].mean()}  # fmt: skip
