"""Stage `image_cache`: images and masks decoded once, at every size that a later stage reads."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.utils.errors import reported
from ala.utils.files import atomic_folder

Params = Annotated[Path, typer.Option(help="The settings; the profile they name is used.")]
Dataset = Annotated[Path, typer.Option(help="The data set that the stage `data` wrote.")]
Splits = Annotated[Path, typer.Option(help="The splits that the stage `split` wrote.")]
Out = Annotated[Path, typer.Option(help="One folder per image size, e.g. data/image_cache/384.")]


def main(
    params: Params = Path("params.yaml"),
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
        from ala.data.decode import Reading
        from ala.data.image_cache_build import check_room, fill_image_cache, required
        from ala.data.index import read_index
        from ala.data.split import read_splits

        settings = load(params).active
        reading, index, frames = Reading.of(settings.data), read_index(dataset), read_splits(splits)
        wanted = required(settings)
        check_room(out, wanted, frames)
        with atomic_folder(out) as temporary:
            for size, names in sorted(wanted.items()):
                start, folder = time.perf_counter(), temporary / str(size)
                fill_image_cache(folder, index, {name: frames[name] for name in sorted(names)}, size, reading)
                megabytes = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
                print(f"{out / str(size)}: {', '.join(sorted(names))}, {megabytes:,.0f} MB in "
                      f"{time.perf_counter() - start:.1f} s")  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
