"""Divide the images into train, validation and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ala.config.schema import Settings
from ala.data.image_cache import check_subset
from ala.data.index import read_index
from ala.data.split import split as divided
from ala.data.split import write_splits


def split(settings: Settings, dataset: Path, out: Path) -> dict[str, Any]:
    """Divide the images of `dataset` into train, val and test, and write one list per split into `out`.

    Returns:
        By split: number of images and of classes, sha256 of the list.

    Raises:
        UserError: a class has too few images.
    """
    data, metrics, index = settings.active.data, settings.active.metrics, read_index(dataset)
    parts = divided(index, data.split_seed, data.train_per_class, data.at_most, data.test_per_class)
    for name, per_class in (("val", metrics.val_images_per_class), ("test", metrics.images_per_class)):
        check_subset(parts[name]["label"].to_numpy(), index.names, name, per_class)
    return write_splits(out, parts)
