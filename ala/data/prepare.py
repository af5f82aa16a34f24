"""Make one checked data set with an index from drawings, a folder or a download, in any layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ala.config.inputs import data_source
from ala.config.schema import Data, Expected
from ala.data.archives import at_hand, fetch, unpack
from ala.data.decode import Reading
from ala.data.download import MIB
from ala.data.index import Index, write_index
from ala.data.layouts import read_layout
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
        out: e.g. `data/dataset`. Holds `index.csv`, `classes.csv`, and of `images/` and `masks/` what the index names.
        given: a data set in the layout `data.layout`, or a folder of the archives `data.downloads`, of the user's own.
        downloads: where archives are looked for first and kept (source `download`, nothing given).

    Raises:
        UserError: the source is missing, damaged or inconsistent; `out` is then as it was before.
    """
    if data.source != "birdlets" and given is not None:
        _refuse_inside(out, given)
    kind = data_source(data, given)
    if kind == "folder":
        return _bring(given or Path(), out, data, shutil.copyfile)
    wanted = data.downloads or []
    archives = [] if kind == "birdlets" else fetch(wanted, downloads) if given is None else at_hand(wanted, given)
    with scratch_folder(out.parent, SCRATCH) as made:  # beside `out`, so that images can be moved from it
        if data.birdlets is not None and kind == "birdlets":
            from ala.data.birdlets import draw_dataset

            draw_dataset(made / "birdlets", data.birdlets)
        else:  # images do not compress
            need_room(out, sum(file.stat().st_size for file in archives) + 64 * MIB, "unpacking")
        for archive in archives:
            unpack(archive, made)
        try:
            return _bring(made / "birdlets" if kind == "birdlets" else made, out, data, Path.replace)
        except UserError as error:  # the sentence names files of a folder that is gone by now
            source = " and ".join(map(str, archives)) or "data.birdlets"
            raise UserError(f"{source}: {str(error).replace(f'{made}/', '').replace(str(made), 'it')}") from None


def _refuse_inside(out: Path, given: Path) -> None:
    """Raise UserError where `given` lies in `out`, with which the stage would remove it."""
    here, there = given.resolve(), out.resolve()
    if here == there or there in here.parents:
        raise UserError(f"inputs.data {given} lies in {out}, which this stage writes; move it and name its new place")


def _bring(root: Path, out: Path, data: Data, transfer: Callable[[Path, Path], object]) -> Facts:
    """Check `root` wholly, then bring its index and the files that it names to `out`."""
    index = read_layout(root, data)
    if data.expected is not None:
        _check_counts(index, root, data.expected)
    _check_truth(index)
    facts = _checked(index, data)
    with atomic_folder(out) as temporary:
        pairs = _pairs(index, temporary)
        if transfer is shutil.copyfile:
            need_room(out, sum(source.stat().st_size for source, _ in pairs), f"a copy of {root}")
        for folder in {target.parent for _, target in pairs}:
            folder.mkdir(parents=True, exist_ok=True)

        def bring(pair: tuple[Path, Path]) -> None:
            try:
                transfer(*pair)
            except OSError as error:
                raise UserError(f"{pair[0]} cannot be copied to {out} ({error.strerror}); check the disk") from None

        each(bring, pairs, "copying images", unit="file")
        boxed = [
            replace(one, boxes=(facts.own_boxes[one.image_id],)) if one.image_id in facts.own_boxes else one
            for one in index.entries
        ]
        write_index(temporary, replace(index, entries=boxed))
    return facts


def _checked(index: Index, data: Data) -> Facts:
    """Check everything that `data` decides about the images of `index`, also what only a later stage would meet."""
    parts = split(index, data.split_seed, data.train_per_class, data.at_most, data.test_per_class)
    evaluated = {key for name in ("val", "test") for key in parts[name]["image_id"].tolist()}
    return verify(index, Reading.of(data), data.input_size, evaluated)


def _check_truth(index: Index) -> None:
    """Refuse what an index can hold and no metric can use yet."""
    for entry in index.entries:
        if entry.ignored is not None or len(entry.boxes) > 1:
            what = "ignored pixels" if entry.ignored is not None else f"{len(entry.boxes)} boxes"
            raise UserError(
                f"{index.listing} gives image {entry.image_id} {what}, which no metric can use yet; give it one box at"
                " most, and name levels that are not the object's in data.background_levels"
            )


def _check_counts(index: Index, root: Path, expected: Expected) -> None:
    images, classes = len(index.entries) + len(index.excluded), len(index.classes)
    if (images, classes) != (expected.photos, expected.classes):
        raise UserError(
            f"{root} holds {images:,} images of {classes} classes, expected {expected.photos:,} of {expected.classes};"
            " use the whole data set, or change data.expected"
        )


def _pairs(index: Index, target: Path) -> list[tuple[Path, Path]]:
    """(source, target) of each image, mask and extra file."""
    return (
        [(file, target / file.name) for file in index.extras]
        + [(index.image_file(one), target / "images" / one.path) for one in index.entries]
        + [(index.masks / one.mask, target / "masks" / one.mask) for one in index.entries if one.mask is not None]
    )
