"""Stage `score`: maps and scores of one cell of `methods`, one seed."""

from __future__ import annotations

from typing import Annotated

import typer

from ala.utils.errors import reported
from stages import options

Cell = Annotated[str, typer.Option("--methods", help="An entry of `methods` in params.yaml: rise, or full+center.")]


def main(
    methods: Cell,
    seed: options.Seed,
    params: options.Params = options.PARAMS,
    images: options.Images = options.IMAGES,
    models: options.Models = options.MODELS,
    maps: options.Maps = options.MAPS,
    scores: options.Scores = options.SCORES,
    device: options.Device = options.DEVICE,
) -> None:
    """Explain the images of the val and test split by each method, and score its maps by every metric.

    A method is `ala`, a row of the ablation, `abn`, a file of ala/explainers, or package.module:Class. The metrics are
    those that `metrics` names. Work is done in shards of images (state/shards): a shard that exists is not made again.

    Writes MAPS/METHODS/seed-SEED/METHOD/{val,test}.npz and SCORES/METHODS/seed-SEED/METHOD/{scores.csv (long: one row
    per image, metric and protocol), curves.npz, true_class.npz, summary.json}.

    Example: python -m stages.score --methods rise --seed 0
    """
    place = f"{methods}/seed-{seed}"
    with reported():
        from ala.pipeline import cells

        made = cells.run(options.context(params, seed, device, images, models, maps), methods, scores)
        for name, one in made.items():
            print(f"{scores / place / name}: {len(one.rows):,} numbers of {one.summary['n_maps']:,} maps")


if __name__ == "__main__":
    typer.run(main)
