"""Stage `image_cache`: images and masks decoded once, at every size that a later stage reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.utils.errors import reported
from stages import options

Dataset = Annotated[Path, typer.Option(help="The data set that the stage `data` wrote.")]
Splits = Annotated[Path, typer.Option(help="The splits that the stage `split` wrote.")]
Out = Annotated[Path, typer.Option(help="One folder per image size, e.g. data/image_cache/384.")]


def main(
    params: options.Params = options.PARAMS,
    dataset: Dataset = Path("data/dataset"),
    splits: Splits = Path("data/splits"),
    out: Out = Path("data/image_cache"),
) -> None:
    """Decode and resize images and masks into memory-mapped uint8 arrays, so that no later stage decodes again.

    Reads the sizes from the active profile (data.input_size, train.augment.resize, fcam.input_size, fcam.resize), how
    images are read (data.mask_threshold, object_levels, background_levels, orientation), the data set and the splits.
    Builds only the splits that are read at a size.

    Writes OUT/SIZE/SPLIT-{images,masks,ids,labels,boxes}.npy and OUT/SIZE/image_cache.json.

    Example: python -m stages.image_cache --out data/image_cache
    """
    with reported():
        from ala.pipeline.image_cache import image_cache

        for done in image_cache(load(params), dataset, splits, out):
            print(done)


if __name__ == "__main__":
    typer.run(main)
