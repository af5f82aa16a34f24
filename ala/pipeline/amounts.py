"""Count the images of a profile, and how much work of each kind its settings request."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from ala.config.schema import NOTHING, Profile
from ala.data.layouts import read_layout
from ala.utils.errors import UserError

#: Training and test images of the official split of CUB-200-2011 (Wah et al. 2011), by the number of all images.
CUB_SPLIT = {11_788: (5_994, 5_794)}


class Images(NamedTuple):
    """Numbers of classes, of all images, and of images by split."""

    classes: int
    all: int
    train: int
    val: int
    test: int


def amounts(profile: Profile, images: Images, cell: str) -> dict[str, float]:
    """Count how much one seed of `cell` has to do of each kind of work, up to a factor that no setting changes.

    Keys are beginnings of the kinds' names; the empty one is for all other kinds, `bytes` for what is written.
    """
    data, train, fcam, metrics, edge = (getattr(profile, name) for name in ("data", "train", "fcam", "metrics", "edge"))
    pixels, augment, pretrain = data.input_size**2, train.augment, profile.encoder.pretrain
    subset, val_subset = (
        every if some is None else min(every, some * images.classes)
        for every, some in ((images.test, metrics.images_per_class), (images.val, metrics.val_images_per_class))
    )
    decoded = sum(size**2 for size in {data.input_size, fcam.input_size}) * (images.val + images.test)
    crops = {augment.resize or data.input_size, fcam.resize or fcam.input_size}
    decoded += sum(size**2 for size in crops) * images.train
    points = math.ceil(pixels / math.ceil(pixels / metrics.lab_points))
    fixes = len(edge.kappas) + len(edge.guided.radius) * len(edge.guided.eps) + 1
    layers = len(profile.layers.abn) if cell == "layers" else 1
    trained = layers - (cell == "layers" and profile.abn.layer in profile.layers.abn)  # that one is there already
    steps = 3 * images.train + images.val  # a training step takes three times a forward pass
    return {
        "": decoded if cell == "image_cache" else layers * images.test, "report": 1, "loading": layers,
        "drawing birdlets": images.all if data.source == "birdlets" else 0,
        "checking images": images.all, "copying images": images.all,
        "unpacking": sum(archive.bytes for archive in data.downloads or ()),
        "drawing captioned birdlets": pretrain.pairs if pretrain else 0,
        "pre-training": pretrain.pairs * pretrain.epochs if pretrain else 0, "class texts": images.classes,
        "encoder features": trained * ((2 if augment.hflip else 1) * images.train + images.val),
        "train": trained * train.epochs * steps, "F-CAM classifier": fcam.classifier.epochs * steps,
        "F-CAM frozen features": images.train, "F-CAM decoder": fcam.decoder.epochs * images.train,
        "explain val": images.val, "fixes of val maps": fixes * images.val,
        "rise": (subset + val_subset) * profile.rise.n_masks,
        "insertion and deletion": layers * subset * (2 * math.ceil(pixels / metrics.step) - 1),
        "lab protocol": subset * (points + min(points, 2)),  # a map of three levels has two masks
        "bytes": {"image_cache": decoded, "data": images.all,
            "score": images.val + images.test}.get(cell.split("@")[0], 1),
    }  # fmt: skip


def count(profile: Profile, folder: Path | None) -> Images:
    """Count the images that the stages `data` and `split` will make for `profile`; `folder` is the user's data set.

    Raises:
        UserError: the images cannot be counted, or a class would have none for validation.
    """
    data = profile.data
    if data.source == "birdlets":
        assert data.birdlets is not None  # the settings were checked
        classes = data.birdlets.species
        official, test = classes * data.birdlets.train_per_species, classes * data.birdlets.test_per_species
    elif folder is not None and folder.is_dir() and not any(folder.glob("*.tgz")):
        index = read_layout(folder, data)
        classes, official = len(index.classes), sum(entry.split != "test" for entry in index.entries)
        test = len(index.entries) - official
    elif data.expected is not None and data.expected.photos in CUB_SPLIT:
        classes, (official, test) = data.expected.classes, CUB_SPLIT[data.expected.photos]
    else:
        raise UserError(f"inputs.data {folder or NOTHING} holds no data set whose images could be counted; name one")
    train = classes * data.train_per_class
    if train >= official:
        raise UserError(
            f"data.train_per_class ({data.train_per_class}) of {classes} classes leaves none of {official:,} official"
            " training images for validation; lower it"
        )
    splits = {"train": train, "val": official - train, "test": test}
    most = data.at_most.model_dump() if data.at_most else splits
    return Images(classes, official + test, *(min(number, most[name]) for name, number in splits.items()))
