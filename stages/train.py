"""Stages `train` and `train_abn`: variants of ALA, or ABN, with one seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ala.config.schema import EXTENSIONS
from ala.utils.errors import reported
from stages import options

Variants = Annotated[
    list[str],
    typer.Option(
        "--variant", help=f"aea-{{true,false}}-sbn-{{true,false}}, abn, {', '.join(EXTENSIONS)}; may be repeated."
    ),
]
Encoder = Annotated[Path, typer.Option(help="The frozen encoder, from the stage `encoder`.")]


def main(
    variant: Variants,
    seed: options.Seed,
    params: options.Params = options.PARAMS,
    images: options.Images = options.IMAGES,
    encoder: Encoder = Path("models/encoder"),
    out: options.Models = options.MODELS,
    device: options.Device = options.DEVICE,
) -> None:
    """Train adapters beside the frozen encoder, each by itself, and keep the best state after an *on* epoch.

    Reads the ala, abn and train blocks of the active profile, the train and val images and the encoder. The masks of
    val images are read for the column val_miou alone, which decides nothing.

    Writes OUT/VARIANT/seed-SEED/{weights.safetensors,model.json,curve.csv}; model.json names settings, precision,
    device, threads and batch. Or, if anything is wrong, one sentence and nothing else (exit code 2).

    Example: python -m stages.train --variant aea-true-sbn-true --seed 0
    """
    with reported():
        from ala.pipeline.train import train

        context = replace(options.context(params, seed, device, images, out), encoder=encoder)
        for one in variant:
            base, profile = context.settings.trained_as(one)
            folder = out / one / f"seed-{seed}"
            trained = train(context, base, profile, folder, f"train/{one}")
            print(f"{folder}: epoch {trained.epoch} of {len(trained.curve)}, val accuracy"
                  " {val_accuracy_pb:.3f}, val loss {val_loss:.3f}, val mean IoU {val_miou:.3f}".format(
                      **trained.chosen))  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
