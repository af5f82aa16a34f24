"""What fixes of the main model's maps earn, and which errors the maps make (METHODS 6)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ala.contracts.compute import used
from ala.contracts.scores import wide
from ala.data.image_cache import subset_indices
from ala.explainers import refine
from ala.metrics import error_rows, fix_tables, fixes
from ala.pipeline import code, shards
from ala.pipeline.context import Context
from ala.pipeline.explain import explain, work
from ala.pipeline.methods import Method, model_digest, resolve
from ala.pipeline.score import evaluated_model, score
from ala.utils.files import atomic_folder, write_json

#: Images of a shard: fixes are arithmetic, insertion and deletion are forward passes.
IMAGES = {"overlaps": 256, "areas": 16}


def run(context: Context, scores: Path) -> dict[str, Any]:
    """Choose each fix on validation images, score it on test images, and write SCORES/edge/seed-SEED.

    kappa of the edge fix, and radius and eps of the guided filter, are those with the best mean IoU on validation.
    Shards that exist are not made again.

    Returns:
        What is in summary.json.
    """
    method, profile, seed = resolve("ala", context.settings), context.profile, context.seed
    threshold, edge = profile.data.mask_threshold, profile.edge
    val, test = context.split("val"), context.split("test")
    evaluated_model(context, method.evaluated)  # a missing model is reported before fixes are tried
    val_maps, test_maps = (explain(context, method, split) for split in ("val", "test"))
    earned = wide(score(context, method, ["prediction", "iou", "insertion-deletion"]).rows)
    tau = error_rows.val_tau(val_maps, val, threshold)
    errors = error_rows.error_rows(test_maps, test, threshold, earned, tau, seed)

    measured = partial(_measured, context, method)
    tried = [[Choice("ala+edge", kappa=kappa) for kappa in edge.kappas], [Choice("ala+largest")],
             [Choice("ala+guided", radius=r, eps=e) for r in edge.guided.radius for e in edge.guided.eps]]  # fmt: skip
    earns = {one: float(measured(one, "val", "overlaps")["iou"].mean())
             for one in (Choice("original"), *tried[0], *tried[2])}  # fmt: skip
    chosen = [max(some, key=lambda one: earns.get(one, 0)) for some in tried]  # the first of equals
    by_kappa, _, by_window = chosen
    subset = subset_indices(test, profile.metrics.images_per_class, profile.metrics.subset_seed)
    parts = [fixes.original_rows(earned)] + [
        fixes.fix_rows(one.fix, seed, test, measured(one, "test", "overlaps"), subset, measured(one, "test", "areas"))
        for one in chosen
    ]
    rows = pd.concat(parts, ignore_index=True)
    means = rows.groupby("fix")[["iou", "insertion", "deletion", "id"]].mean()
    summary = {
        "model": method.name, "seed": seed, "kappa": by_kappa.kappa, "radius": by_window.radius, "eps": by_window.eps,
        "tau_val": tau, "n_val": len(val), "n_images": len(test),
        "n_perturbed": int(parts[0]["insertion"].notna().sum()),
        "used": used(context.device, profile.engine.precision, profile.metrics.batch),
        "val_miou": {
            "original": earns[Choice("original")],
            "kappa": [{"kappa": one.kappa, "miou": earns[one]} for one in tried[0]],
            "guided": [{"radius": one.radius, "eps": one.eps, "miou": earns[one]} for one in tried[2]],
        },
        "test": {name: {kind: float(value) for kind, value in means.loc[name].items()} for name in means.index},
        "empty": {name: int(count) for name, count in rows.groupby("fix")["empty"].sum().items()},
    }  # fmt: skip
    with atomic_folder(scores / "edge" / f"seed-{seed}") as out:
        fix_tables.save(rows, out / "edge.csv")
        fix_tables.save(errors, out / "errors.csv")
        write_json(out / "summary.json", summary)
    return summary


@dataclass(frozen=True)
class Choice:
    """A fix of :mod:`ala.explainers.refine` and its settings."""

    fix: str
    kappa: float = 0
    radius: int = 0
    eps: float = 0

    def function(self, context: Context) -> fixes.Fix:
        """The fix itself."""
        return {
            "original": refine.original,
            "ala+edge": partial(refine.edge, kappa=self.kappa, settings=context.profile.edge),
            "ala+largest": refine.largest,
            "ala+guided": partial(refine.guided, radius=self.radius, eps=self.eps),
        }[self.fix]  # type: ignore[return-value]


def _measured(context: Context, method: Method, choice: Choice, split: str, what: str) -> shards.Arrays:
    """`overlaps` of all images of a split, or `areas` of its subset, with a fix of the method's maps."""
    profile, images = context.profile, context.split(split)
    index, metrics = np.arange(len(images)), profile.metrics
    decides: dict[str, Any] = {
        **context.decides, "maps": [one.path.stem for one in work(context, method, split)], "choice": choice,
        "edge": profile.edge.model_dump(mode="json"), "data": profile.data.model_dump(mode="json"), "what": what,
        "code": code.digest("ala.metrics.fixes", "ala.explainers.refine", "ala.pipeline.models"),
    }  # fmt: skip
    if what == "areas":
        index = subset_indices(images, metrics.images_per_class, metrics.subset_seed)
        decides |= {"metrics": metrics.model_dump(mode="json"),
                    "model": model_digest(method.evaluated, context.seed, context.models)}  # fmt: skip
    pieces = [
        shards.shard(
            f"{choice.fix}-{what}-seed-{context.seed}", {**decides, "ids": images.image_ids[index[a:b]].tolist()},
            fix_shard, (context, method, choice, split, what, index[a:b]), b - a,
        )
        for a, b in shards.pieces(len(index), IMAGES[what])
    ]  # fmt: skip
    parts = list(shards.compute(pieces, context.executor, f"{choice.fix} on {split} images"))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def fix_shard(
    context: Context, method: Method, choice: Choice, split: str, what: str, index: np.ndarray
) -> shards.Arrays:
    """The arrays of :func:`ala.metrics.fixes.overlaps` or `curve_areas` for the images `index` of a split."""
    fix, maps, images = choice.function(context), explain(context, method, split), context.split(split)
    if what == "overlaps":
        return fixes.overlaps(fix, maps, images, index, context.profile.data.mask_threshold)
    evaluated = evaluated_model(context, method.evaluated)
    return fixes.curve_areas(fix, maps, images, index, evaluated, context.profile.metrics)
