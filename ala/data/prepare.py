"""Make one checked data set in CUB's layout from drawings, a folder or a download."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ala.config.inputs import data_source
from ala.config.schema import Data, Expected
from ala.data.archives import at_hand, fetch, unpack
from ala.data.cub import LISTS, OPTIONAL_LISTS, CubIndex, read_cub
from ala.data.decode import Reading
from ala.data.download import MIB
from ala.data.lists import leave_out
from ala.data.parallel import each
from ala.data.split import split
from ala.data.verify import Facts, verify
from ala.utils.disk import need_room
from ala.utils.errors import UserError
from ala.utils.files import atomic_folder, scratch_folder

SCRATCH = ".unpacked-"


def prepare(data: Data, out: Path, given: Path | None = None, downloads: Path = Path("downloads")) -> Facts:
    """Make the data set of `data` in `out`, which is replaced as a whole when everything has been checked.

    Args:
        data: the profile's `data` settings; `source` says where the images come from.
        out: e.g. `data/dataset`. Holds the lists, `images/` and `segmentations/`, of which only what the lists name.
        given: a data set in CUB's layout, or a folder of the archives `data.downloads`, of the user's own.
        downloads: where archives are looked for first and kept (source `download`, nothing given).

    Raises:
        UserError: the source is missing, damaged or inconsistent; `out` is then as it was before.
    """
    if data.source != "birdlets" and given is not None:
        _refuse_inside(out, given)
    kind = data_source(data, given)
    if kind == "birdlets":
        from ala.data.birdlets import draw_dataset

        if data.birdlets is None:
            raise UserError("data.birdlets is not set; source birdlets needs it")
        with atomic_folder(out) as temporary:
            draw_dataset(temporary, data.birdlets)
            drawn, facts = read_cub(temporary), _checked(read_cub(temporary, data.exclude), data)
            for row in drawn.frame[drawn.frame["image_id"].isin(data.exclude)].itertuples():
                drawn.image_file(str(row.path)).unlink()
                drawn.mask_file(str(row.mask_path)).unlink()
            _leave_out(temporary, data.exclude)
            return facts
    if kind == "folder":
        return _from_folder(given or Path(), out, data)
    wanted = data.downloads or []
    archives = fetch(wanted, downloads) if given is None else at_hand(wanted, given)
    with scratch_folder(out.parent, SCRATCH) as unpacked:  # beside `out`, so that images can be moved from it
        need_room(out, sum(file.stat().st_size for file in archives) + 64 * MIB, "unpacking")  # images do not compress
        for archive in archives:
            unpack(archive, unpacked)
        try:
            return _from_folder(unpacked, out, data, transfer=_move)
        except UserError as error:  # the sentence names files of a folder that is gone by now
            source = " and ".join(map(str, archives))
            raise UserError(f"{source}: {str(error).replace(f'{unpacked}/', '')}") from None


def _refuse_inside(out: Path, given: Path) -> None:
    """Raise UserError where `given` lies in `out`, with which the stage would remove it."""
    here, there = given.resolve(), out.resolve()
    if here == there or there in here.parents:
        raise UserError(f"inputs.data {given} lies in {out}, which this stage writes; move it and name its new place")


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _move(source: Path, target: Path) -> None:
    source.replace(target)


def _from_folder(root: Path, out: Path, data: Data, transfer: Callable[[Path, Path], None] = _copy) -> Facts:
    """Check `root` wholly, then bring the lists and the files that they name to `out`."""
    index = read_cub(root, data.exclude)
    _check_counts(index, data.expected)
    facts = _checked(index, data)
    with atomic_folder(out) as temporary:
        pairs = _pairs(index, temporary)
        if transfer is _copy:
            need_room(out, sum(source.stat().st_size for source, _ in pairs), f"a copy of {root}")
        for folder in {target.parent for _, target in pairs}:
            folder.mkdir(parents=True, exist_ok=True)

        def bring(pair: tuple[Path, Path]) -> None:
            try:
                transfer(*pair)
            except OSError as error:
                raise UserError(f"{pair[0]} cannot be copied to {out} ({error.strerror}); check the disk") from None

        each(bring, pairs, "copying photos", unit="file")
        _leave_out(temporary, data.exclude)
    return facts


def _checked(index: CubIndex, data: Data) -> Facts:
    """Check everything that `data` decides about the images of `index`, also what only a later stage would meet."""
    parts = split(index, data.split_seed, data.train_per_class, data.at_most)
    evaluated = {key for name in ("val", "test") for key in parts[name]["image_id"].tolist()}
    return verify(index, Reading.of(data), data.input_size, evaluated)


def _leave_out(folder: Path, ids: list[int]) -> None:
    """Take the lines of the images `ids` out of the lists in `folder`."""
    for name in (*LISTS, *OPTIONAL_LISTS):
        if name != "classes.txt" and (folder / name).exists():
            leave_out(folder / name, ids)


def _check_counts(index: CubIndex, expected: Expected | None) -> None:
    if expected is None:
        return
    photos, classes = len(index.frame) + len(index.excluded), len(index.classes)
    if (photos, classes) != (expected.photos, expected.classes):
        raise UserError(
            f"{index.root} lists {photos:,} photos of {classes} classes, expected {expected.photos:,} of"
            f" {expected.classes}; use the whole data set, or change data.expected"
        )


def _pairs(index: CubIndex, target: Path) -> list[tuple[Path, Path]]:
    """(source, target) of each list, image and mask."""
    lists = [name for name in LISTS + OPTIONAL_LISTS if (index.root / name).is_file()]
    photos, masks = index.frame["path"], index.frame["mask_path"]
    return (
        [(index.root / name, target / name) for name in lists]
        + [(index.image_file(path), target / "images" / path) for path in photos]
        + [(index.mask_file(path), target / "segmentations" / path) for path in masks]
    )
