"""Stage `methods`: what the maps and scores of each cell are made from, one seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ala.utils.errors import reported
from stages import options

Out = Annotated[Path, typer.Option(help="One JSON file per cell is written to seed-SEED in this folder.")]


def main(
    seed: options.Seed,
    params: options.Params = options.PARAMS,
    models: options.Models = options.MODELS,
    out: Out = Path("cells"),
) -> None:
    """Look up every method that `methods` names, and write what decides about it: code, settings, model.

    The stage `score` depends on these files. So dvc.yaml names no method, and a cell runs again just when its own
    explainer, settings or models change.

    Example: python -m stages.methods --seed 0
    """
    with reported():
        from ala.pipeline import cells

        found = cells.describe(options.context(params, seed, "cpu", models=models), out / f"seed-{seed}")
        print(f"{out / f'seed-{seed}'}: {', '.join(found)}")


if __name__ == "__main__":
    typer.run(main)
