"""Stage `store`: photos and masks decoded once, at every size that a later stage reads."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.utils.errors import UserError, reported
from ala.utils.files import atomic_folder

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

    Reads the sizes from the active profile (data.input_size, train.augment.resize, fcam.input_size, fcam.resize), how
    images are read (data.mask_threshold, object_levels, background_levels, orientation), the data set and the splits.
    Builds only the splits that are read at a size.

    A run that was cut off goes on after the photos that it had decoded.

    Writes OUT/SIZE/SPLIT-{images,masks,ids,labels,boxes}.npy and OUT/SIZE/store.json.

    Example: python -m stages.store --out data/store
    """
    with reported():
        import shutil
        from dataclasses import asdict
        from importlib.metadata import version

        from ala.data.decode import Reading
        from ala.data.index import read_index
        from ala.data.split import read_splits
        from ala.data.store_build import fill_store, required
        from ala.utils.resume import Resumable, stamps

        settings = load(params).active
        wanted, reading = required(settings), Reading.of(settings.data)
        index, frames = read_index(dataset), read_splits(splits)
        decides = {
            "wanted": {str(size): sorted(names) for size, names in sorted(wanted.items())},
            "reading": asdict(reading), "dataset": stamps(dataset), "pillow": version("pillow"),
        }  # fmt: skip
        work = Resumable.open(
            "store", decides, [splits], code=["ala.data.store_build", "ala.data.store", "ala.data.decode"]
        )
        with atomic_folder(out) as temporary:  # made now, so that what forbids it is told before minutes of work
            try:
                for size, names in sorted(wanted.items()):
                    start, folder = time.perf_counter(), work.folder / str(size)
                    fill_store(folder, index, {name: frames[name] for name in sorted(names)}, size, reading, work)
                    megabytes = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
                    print(f"{out / str(size)}: {', '.join(sorted(names))}, {megabytes:,.0f} MB in "
                          f"{time.perf_counter() - start:.1f} s")  # fmt: skip
                for size in wanted:  # a rename, unless ALA_STATE lies on another disk
                    shutil.move(work.folder / str(size), temporary / str(size))
            except FileNotFoundError:
                raise UserError(
                    f"{work.folder} was taken by another run of this stage, which filled it at the same time and has"
                    f" ended; {out} is what that run wrote, run again if it is not there"
                ) from None
            except (UserError, OSError):
                work.discard()  # gigabytes that no run would go on from, once the file or the disk is mended
                raise
        work.finish()


if __name__ == "__main__":
    typer.run(main)
