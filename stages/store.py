"""Stage `store`: photos and masks decoded once, at every size that a later stage reads."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.runtime.errors import reported
from ala.runtime.files import atomic_folder

Params = Annotated[Path, typer.Option(help="The settings; the profile they name is used.")]
Dataset = Annotated[Path, typer.Option(help="The data set that the stage `data` wrote.")]
Splits = Annotated[Path, typer.Option(help="The splits that the stage `split` wrote.")]
Out = Annotated[Path, typer.Option(help="One folder per side length, e.g. data/store/384.")]


def main(
    params: Params = Path("params.yaml"),
    dataset: Dataset = Path("data/dataset"),
    splits: Splits = Path("data/splits"),
    out: Out = Path("data/store"),
) -> None:
    """Decode and resize photos and masks into memory-mapped uint8 arrays, so that no later stage decodes again.

    Reads the sizes from the active profile (data.input_size, train.augment.resize, fcam.input_size, fcam.resize), the
    data set and the splits. Builds only the splits that are read at a size.

    Writes OUT/SIZE/SPLIT-{images,masks,ids,labels,boxes}.npy and OUT/SIZE/store.json.

    Example: python -m stages.store --out data/store
    """
    with reported(out):
        from ala.data.cub import read_cub
        from ala.data.split import read_splits
        from ala.data.store_build import build_store, required

        wanted = required(load(params).active)
        index, frames = read_cub(dataset), read_splits(splits)
        with atomic_folder(out) as temporary:
            for size, names in sorted(wanted.items()):
                start = time.perf_counter()
                folder = temporary / str(size)
                build_store(folder, index, {name: frames[name] for name in sorted(names)}, size)
                megabytes = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
                print(f"{out / str(size)}: {', '.join(sorted(names))}, {megabytes:,.0f} MB in "
                      f"{time.perf_counter() - start:.1f} s")  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
