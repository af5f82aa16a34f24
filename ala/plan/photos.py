"""Count the images of a profile without opening them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ala.config.inputs import data_source
from ala.config.schema import NOTHING, Data
from ala.data.layouts import read_layout
from ala.utils.errors import UserError

#: Training and test images of the official split of CUB-200-2011 (Wah et al. 2011), by its number of images.
CUB_SPLIT = {11_788: (5_994, 5_794)}


@dataclass(frozen=True)
class Photos:
    """Numbers of images by split, and of classes."""

    classes: int
    train: int
    val: int
    test: int

    @property
    def all(self) -> int:
        """The number of images of all splits."""
        return self.train + self.val + self.test

    def subset(self, split: str, per_class: int | None) -> int:
        """The number of images of a class-balanced subset of `split`, `val` or `test`; None means all of it."""
        return getattr(self, split) if per_class is None else per_class * self.classes


def count(data: Data, given: tuple[int, int, int] | None = None, folder: Path | None = None) -> Photos:
    """Count the images that the stages `data` and `split` will make from the block `data`.

    A folder's lists are read if the folder exists; the counts of a download are its `expected` numbers.

    Args:
        data: the block.
        given: classes, official training images and test images, given instead of counted.
        folder: the data set that `inputs.data` names.

    Raises:
        UserError: the images cannot be counted, or a class would have none for validation.
    """
    birdlets = data.birdlets
    if given is not None:
        classes, official, test = given
    elif data.source == "birdlets" and birdlets is not None:
        classes = birdlets.species
        official, test = classes * birdlets.train_per_species, classes * birdlets.test_per_species
    elif folder is not None and folder.is_dir() and data_source(data, folder) == "folder":
        index = read_layout(folder, data)
        classes, drawn = len(index.classes), (data.test_per_class or 0) * len(index.classes)
        test = sum(one.split == "test" for one in index.entries) or drawn
        official = len(index.entries) - test
    elif data.expected is not None and data.expected.photos in CUB_SPLIT:
        classes, (official, test) = data.expected.classes, CUB_SPLIT[data.expected.photos]
    else:
        raise UserError(
            f"inputs.data {folder or NOTHING} is not there, so its photos cannot be counted; name an existing folder,"
            " or give --photos CLASSES TRAIN TEST, e.g. --photos 200 5994 5794"
        )
    train = classes * data.train_per_class
    if train >= official:
        raise UserError(
            f"data.train_per_class ({data.train_per_class}) of {classes} classes leaves none of {official:,} official"
            " training photos for validation; lower it"
        )
    return Photos(classes, train, official - train, test)
