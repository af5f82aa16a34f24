"""The cells of a run: explain and score the methods of one entry of `methods`, at one seed, into DVC's outs."""

from __future__ import annotations

import sys
from pathlib import Path

from ala import registry
from ala.contracts import scores as contract
from ala.contracts.collapsed import warning
from ala.pipeline import code
from ala.pipeline.context import Context
from ala.pipeline.explain import explain, used_for
from ala.pipeline.methods import cells, model_digest, of_cell, recipe
from ala.pipeline.score import Scored, score
from ala.utils.files import atomic_folder, write_json

SPLITS = ("val", "test")  # thresholds are chosen on one, scores are of the other


def describe(context: Context, out: Path) -> list[str]:
    """Write what decides about each cell into `out`, one JSON file per cell, and about the main model: `main.json`.

    These files are what the cells depend on in dvc.yaml, which therefore names no method: a cell runs again when its
    explainer's code, its settings or its models change, and for no other reason of its own.

    Returns:
        The cells.

    Raises:
        UserError: a method does not exist, or its model was not trained.
    """
    metrics = {name: code.digest(registry.find("metrics", name).__module__) for name in context.settings.metrics}
    pipeline = code.digest(*(f"ala.pipeline.{name}" for name in ("explain", "score", "models", "shards")))
    found = [cell for cell in cells(context.settings) if cell not in context.settings.extensions]
    with atomic_folder(out) as folder:
        for name, methods in {**{cell: of_cell(cell, context.settings) for cell in found},
                              "main": of_cell("ala", context.settings)}.items():  # fmt: skip
            recipes = [recipe(method, context.seed, context.models) for method in methods]
            evaluated = {
                model: model_digest(model, context.seed, context.models)
                for model in [*(method.evaluated for method in methods), context.settings.main_variant]
            }
            about = {"methods": recipes, "evaluated": evaluated, "metrics": metrics, "pipeline": pipeline}
            write_json(folder / f"{name}.json", about)
    return found


def run(context: Context, cell: str, scores: Path) -> dict[str, Scored]:
    """Explain and score the methods of a cell; write MAPS/CELL/seed-SEED and SCORES/CELL/seed-SEED.

    Returns:
        By method.

    Raises:
        UserError: see :func:`ala.pipeline.explain.explain` and :func:`ala.pipeline.score.score`.
    """
    methods, place = of_cell(cell, context.settings), Path(cell) / f"seed-{context.seed}"
    for method in methods:
        for split in SPLITS:
            explain(context, method, split)  # into shards, so that what fails has written nothing
    with atomic_folder(context.maps / place) as folder:
        for method in methods:
            for split in SPLITS:
                maps = explain(context, method, split)
                said = warning(maps, f"{method.name}, seed {context.seed}, {split} images")
                if said is not None:
                    print(f"warning: {said}", file=sys.stderr)
                maps.save(folder / method.name / f"{split}.npz")
            write_json(folder / method.name / "used.json", {"used": used_for(context, method)})
    made = {method.name: score(context, method) for method in methods}
    with atomic_folder(scores / place) as folder:
        for name, one in made.items():
            save(one, folder / name)
    return made


def save(one: Scored, folder: Path) -> None:
    """Write scores.csv (long), curves.npz, true_class.npz and summary.json."""
    contract.save(one.rows, folder / "scores.csv")
    for name, curves in one.curves.items():
        curves.save(folder / {"predicted": "curves.npz", "true": "true_class.npz"}[name])
    write_json(folder / "summary.json", {**one.summary, "n_rows": len(one.rows)})
