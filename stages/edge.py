"""Stage `edge`: scores of fixes of the main model's maps, and the errors that the maps make, one seed."""

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
    """Fix the main model's maps by the image's edges and by two rivals, and say what errors the maps make.

    kappa of the edge fix, and radius and eps of the guided filter, are chosen by mean IoU on validation images. Then
    every fix is scored on test images: IoU on all, insertion and deletion on metrics.images_per_class of each class.

    Writes SCORES/edge/seed-SEED/edge.csv (one row per fix and image), errors.csv (one row per threshold rule and
    image) and summary.json (what was chosen, by which validation scores, and means).

    Example: python -m stages.edge --seed 0
    """
    with reported():
        from ala.pipeline import edge

        found = edge.run(options.context(params, seed, device, images, models), scores)
        print("chosen on validation: kappa {kappa:g}, guided filter of radius {radius} and eps {eps:g}".format(**found))
        for name, means in found["test"].items():
            print("{}: mIoU {iou:.3f}, insertion {insertion:.3f}, deletion {deletion:.3f}, ID {id:.3f}".format(
                  name, **means))  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
