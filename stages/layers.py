"""Stage `layers`: ABN on each encoder layer in turn, and the contribution of each encoder feature to ALA."""

from __future__ import annotations

import typer

from ala.utils.errors import reported
from stages import options


def main(
    seed: options.Seed,
    params: options.Params = options.PARAMS,
    images: options.Images = options.IMAGES,
    models: options.Models = options.MODELS,
    scores: options.Scores = options.SCORES,
    device: options.Device = options.DEVICE,
) -> None:
    """Train and score ABN on every layer of layers.abn; weigh and knock out the features that ALA's SBN reads.

    ABN reads one chosen layer (slide 6 calls the choice arbitrary), ALA several. All else of ABN stays as it is, and
    no layer is chosen by what this stage finds: abn.layer comes from validation images. The layer abn.layer itself is
    taken from models/abn.

    Writes SCORES/layers/seed-SEED/scores.csv (long, methods `abn-layer-K`), features.csv (per feature: its share, and
    mean IoU and accuracy on test images without it) and summary.json.

    Example: python -m stages.layers --seed 0
    """
    with reported():
        from ala.pipeline import layers

        found, features = layers.run(options.context(params, seed, device, images, models), scores)
        for one in found:
            print("{method}: accuracy {accuracy:.3f}, mIoU {miou:.3f}, ID {id:.3f}".format(**layers.means(one)))
        print(features.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    typer.run(main)
