"""What fixes of the main model's maps earn, and which errors the maps make (METHODS 6)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ala.contracts.compute import used
from ala.contracts.scores import wide
from ala.explainers import refine
from ala.metrics import error_rows, fix_tables, fixes
from ala.metrics.fixes import Fix
from ala.pipeline.context import Context
from ala.pipeline.explain import explain
from ala.pipeline.methods import resolve
from ala.pipeline.score import evaluated_model, score
from ala.utils.files import atomic_folder, write_json


def run(context: Context, scores: Path) -> dict[str, Any]:
    """Choose each fix on validation images, score it on test images, and write SCORES/edge/seed-SEED.

    kappa of the edge fix, and radius and eps of the guided filter, are those with the best mean IoU on validation.

    Returns:
        What is in summary.json.
    """
    method, profile, seed = resolve("ala", context.settings), context.profile, context.seed
    threshold, edge, guided = profile.data.mask_threshold, profile.edge, profile.edge.guided
    val, test = context.split("val"), context.split("test")
    evaluated = evaluated_model(context, method.evaluated)  # a missing model is told before fixes are tried
    val_maps, test_maps = (explain(context, method, split) for split in ("val", "test"))
    earned = wide(score(context, method, ["prediction", "iou", "insertion-deletion"]).rows)
    tau = error_rows.val_tau(val_maps, val, threshold)
    errors = error_rows.error_rows(test_maps, test, threshold, earned, tau, seed)

    kappa, by_kappa = fixes.best(
        {kappa: partial(refine.edge, kappa=kappa, settings=edge) for kappa in edge.kappas}, val_maps, val, threshold
    )
    (radius, eps), by_window = fixes.best(
        {(r, e): partial(refine.guided, radius=r, eps=e) for r in guided.radius for e in guided.eps},
        val_maps, val, threshold,
    )  # fmt: skip
    _, unfixed = fixes.best({"original": refine.original}, val_maps, val, threshold)
    chosen: dict[str, Fix] = {
        "ala+edge": partial(refine.edge, kappa=kappa, settings=edge),
        "ala+largest": refine.largest,
        "ala+guided": partial(refine.guided, radius=radius, eps=eps),
    }
    parts = [fixes.original_rows(earned)] + [
        fixes.score_fix(name, fix, test_maps, test, threshold, evaluated, profile.metrics, seed)
        for name, fix in chosen.items()
    ]
    rows = pd.concat(parts, ignore_index=True)
    means = rows.groupby("fix")[["iou", "insertion", "deletion", "id"]].mean()
    summary = {
        "model": method.name, "seed": seed, "kappa": kappa, "radius": radius, "eps": eps, "tau_val": tau,
        "n_val": len(val), "n_images": len(test), "n_perturbed": int(parts[0]["insertion"].notna().sum()),
        "used": used(context.device, profile.engine.precision, profile.metrics.batch),
        "val_miou": {
            "original": unfixed["original"],
            "kappa": [{"kappa": k, "miou": value} for k, value in by_kappa.items()],
            "guided": [{"radius": r, "eps": e, "miou": value} for (r, e), value in by_window.items()],
        },
        "test": {name: {kind: float(value) for kind, value in means.loc[name].items()} for name in means.index},
        "empty": {name: int(count) for name, count in rows.groupby("fix")["empty"].sum().items()},
    }  # fmt: skip
    with atomic_folder(scores / "edge" / f"seed-{seed}") as out:
        fix_tables.save(rows, out / "edge.csv")
        fix_tables.save(errors, out / "errors.csv")
        write_json(out / "summary.json", summary)
    return summary
