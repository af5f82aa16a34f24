"""Decode images and masks once, at every size that a later stage reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from ala.config.schema import Settings
from ala.data.decode import Reading
from ala.data.image_cache_build import check_room, fill_image_cache, required
from ala.data.index import read_index
from ala.data.split import read_splits
from ala.utils.files import atomic_folder


def image_cache(settings: Settings, dataset: Path, splits: Path, out: Path) -> Iterator[str]:
    """Decode and resize the images of `splits` into `out`, which is replaced as a whole when all is done.

    Yields:
        A sentence about each size, when it is done.

    Raises:
        UserError: an image or mask does not decode, or the disk is too small.
    """
    active = settings.active
    reading, index, frames = Reading.of(active.data), read_index(dataset), read_splits(splits)
    wanted = required(active)
    check_room(out, wanted, frames)
    with atomic_folder(out) as temporary:
        for size, names in sorted(wanted.items()):
            start, folder = time.perf_counter(), temporary / str(size)
            fill_image_cache(folder, index, {name: frames[name] for name in sorted(names)}, size, reading)
            megabytes = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
            seconds = time.perf_counter() - start
            yield f"{out / str(size)}: {', '.join(sorted(names))}, {megabytes:,.0f} MB in {seconds:.1f} s"
