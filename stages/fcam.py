"""Stage `fcam`: F-CAM's classifier and decoder of one seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ala.utils.errors import reported
from stages import options

Out = Annotated[Path, typer.Option(help="The model is written to seed-SEED in this folder.")]


def main(
    seed: options.Seed,
    params: options.Params = options.PARAMS,
    images: options.Images = options.IMAGES,
    out: Out = Path("models/fcam"),
    device: options.Device = options.DEVICE,
) -> None:
    """Train F-CAM: a classifier, then, over its frozen features, a decoder that tells object from background.

    Reads the fcam block of the active profile, the weight file inputs.fcam, the train and val images and their labels
    (val boxes too where `select: val_box_accuracy`), never a mask.

    Writes OUT/seed-SEED/{classifier,decoder}.safetensors, model.json and {classifier,decoder}_curve.csv, or, if
    anything is wrong, one sentence and nothing else (exit code 2).

    Example: python -m stages.fcam --seed 0
    """
    with reported():
        from ala.pipeline.fcam import fcam

        context = options.context(params, seed, device, images)
        kept = fcam(context, out)["classifier"]
        print(f"{out / f'seed-{seed}'}: classifier of epoch {kept['epoch']} with val accuracy"
              f" {kept['val_accuracy']:.3f}; decoder after {context.profile.fcam.decoder.epochs} epochs")  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
