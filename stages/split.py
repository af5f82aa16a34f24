"""Stage `split`: divide the images into train, validation and test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.utils.errors import reported
from stages import options

Dataset = Annotated[Path, typer.Option(help="The data set that the stage `data` wrote; only its index is read.")]
Out = Annotated[Path, typer.Option(help="train.csv, val.csv, test.csv and summary.json (counts and sha256).")]


def main(
    params: options.Params = options.PARAMS,
    dataset: Dataset = Path("data/dataset"),
    out: Out = Path("data/splits"),
) -> None:
    """Divide the training images of the data set into train and val: a fixed number per class is train, the rest val.

    Reads data.split_seed, train_per_class, test_per_class and at_most of the active profile, the index of the data set,
    and metrics.images_per_class and val_images_per_class, for which every class must have enough images. The data set's
    test images stay the test split; where it names none, data.test_per_class of each class are drawn. The split depends
    on its own seed only, never on the seeds of the training.

    Writes one CSV per split (image_id, path, label) and summary.json.

    Example: python -m stages.split --dataset data/dataset --out data/splits
    """
    with reported():
        from ala.pipeline.split import split

        summary = split(load(params), dataset, out)
        print(" / ".join(f"{name} {summary[name]['photos']:,}" for name in ("train", "val", "test")))


if __name__ == "__main__":
    typer.run(main)
