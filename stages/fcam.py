"""Stage `fcam`: F-CAM's classifier and decoder of one seed."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.utils.errors import reported

Seed = Annotated[
    int, typer.Option(min=0, help="Seed of initial weights, order of images, augmentation and drawn seeds.")
]
Params = Annotated[Path, typer.Option(help="The settings; the profile they name is used.")]
ImageCacheFolder = Annotated[Path, typer.Option(help="Images by image size, from the stage `image_cache`.")]
Out = Annotated[Path, typer.Option(help="The model is written to seed-SEED in this folder.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]

#: A change of any of these restarts an unfinished training.
CODE = [
    "ala.explainers.fcam",
    "ala.training.loop",
    "ala.encoders.weights",
    "ala.data.image_cache",
    "ala.contracts",
    "ala.utils.seeds",
]


def main(
    seed: Seed,
    params: Params = Path("params.yaml"),
    image_cache: ImageCacheFolder = Path("data/image_cache"),
    out: Out = Path("models/fcam"),
    device: Device = "auto",
) -> None:
    """Train F-CAM: a classifier, then, over its frozen features, a decoder that tells object from background.

    Reads the fcam block of the active profile, the weight file inputs.fcam, the train and val images and their labels
    (val boxes too where `select: val_box_accuracy`), never a mask.

    Writes OUT/seed-SEED/{classifier,decoder}.safetensors, model.json and {classifier,decoder}_curve.csv, or, if
    anything is wrong, one sentence and nothing else (exit code 2).

    Example: python -m stages.fcam --seed 0
    """
    with reported():
        from ala.config.inputs import fcam_file
        from ala.contracts.compute import used
        from ala.data.image_cache import ImageCache
        from ala.explainers.fcam import save_fcam, train_fcam
        from ala.utils.checkpoint import Checkpoint
        from ala.utils.device import resolve

        whole = load(params)
        settings = whole.active.fcam
        given = fcam_file(settings, whole.inputs.path("fcam"))
        train = ImageCache.open(image_cache / str(settings.resize or settings.input_size), "train")
        val = ImageCache.open(image_cache / str(settings.input_size), "val")
        target = resolve(device)
        made_with = {part: used(target, "fp32", getattr(settings, part).batch) for part in ("classifier", "decoder")}
        decides = {"fcam": settings.model_dump(mode="json"), "seed": seed, "timm": version("timm"),
                   "device": str(target), "used": made_with}  # fmt: skip
        inputs = [image_cache / str(settings.resize or settings.input_size), image_cache / str(settings.input_size)]
        inputs += [given] if given is not None else []
        checkpoint = Checkpoint.of(f"fcam/seed-{seed}", decides, inputs, CODE)
        trained = train_fcam(train, val, settings, seed, target, checkpoint, given)
        folder = out / f"seed-{seed}"
        save_fcam(folder, trained, made_with)
        kept = trained.about["classifier"]
        print(f"{folder}: classifier of epoch {kept['epoch']} with val accuracy {kept['val_accuracy']:.3f};"
              f" decoder after {settings.decoder.epochs} epochs")  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
