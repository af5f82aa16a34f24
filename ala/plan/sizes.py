"""Estimate bytes: downloads, disk space of each stage, peak memory of each stage."""

from __future__ import annotations

from collections.abc import Mapping

from ala.config.schema import Inputs, Profile
from ala.data.store_build import required
from ala.explainers.fcam.frozen import CACHE_BYTES
from ala.explainers.methods import VARIANTS
from ala.plan.flops import Cost
from ala.plan.models import Models, parameters
from ala.plan.photos import Photos
from ala.plan.work import Work, keeps_features, model_of
from ala.training.variant import VALIDATED_AT_ONCE

FLOAT = 4  # bytes of a number

#: Mean bytes of an image and its mask: 100 kB for CUB-200-2011, 6 kB for the miniature.
_PHOTO, _DRAWN = 101_000, 6_000


def downloads(profile: Profile, models: Models, inputs: Inputs) -> dict[str, int]:
    """Estimate the bytes to download by stage; weights as float32, as most sources offer them.

    What is cached already, or given as a local file, is not downloaded again.
    """
    data, encoder, fcam = profile.data, profile.encoder, profile.fcam
    found = {"data": 0, "encoder": 0, "fcam": 0}
    if data.source == "download" and inputs.path("data") is None:
        found["data"] = sum(archive.bytes for archive in data.downloads or [])
    if encoder.pretrained is not None and inputs.path("encoder") is None:
        found["encoder"] = FLOAT * parameters(models.clip())
    if fcam.pretrained and inputs.path("fcam") is None:
        found["fcam"] = FLOAT * parameters(models.fcam.network.backbone)
    return found


def disk(profile: Profile, photos: Photos, models: Models, main: str, inputs: Inputs) -> dict[str, int]:
    """Estimate the bytes that one cell of each stage writes, without DVC's cache, which holds a copy of most of them.

    Archives that stay in downloads/ are counted; tables of scores and the report, some MB, are not.
    """
    both, side, metrics = photos.val + photos.test, profile.data.input_size, profile.metrics
    grid = side // profile.ala.sbn.patch
    of_split = {"train": photos.train, "val": photos.val, "test": photos.test}
    sets = required(profile)
    own = [model_of(variant, profile) for variant in VARIANTS]
    taps = models.encoder.grid
    rise = photos.subset("test", metrics.images_per_class) + photos.subset("val", metrics.val_images_per_class)
    return {
        "data": downloads(profile, models, inputs)["data"]
        + photos.all * (_DRAWN if profile.data.source == "birdlets" else _PHOTO),
        "store": sum(size * size * FLOAT * of_split[split] for size, splits in sets.items() for split in splits),
        "encoder": FLOAT * parameters(models.encoder),
        "train": FLOAT * sum(parameters(models.explained(name).adapter) for name in own),
        "train_abn": FLOAT * parameters(models.explained(model_of("abn", profile)).adapter),
        "fcam": FLOAT * parameters(models.fcam),
        # five maps of the encoder's grid, F-CAM's and the boxes at full size, noise on the adapter's grid
        "explain": FLOAT * both * (5 * taps**2 + profile.fcam.input_size**2 + side**2 + grid**2),
        "rise": FLOAT * rise * models.explained(main).preprocessing.size ** 2,
    }


def memory(
    profile: Profile, photos: Photos, models: Models, work: list[Work], costs: Mapping[tuple[str, str], Cost]
) -> dict[str, int]:
    """Estimate memory beyond that of an idle process: weights, cached features, activations of the largest batch."""
    found: dict[str, int] = {}
    for one in work:
        held = 0
        cost = costs.get(one.kind)
        if cost is not None:
            held = _weights(one, models) + cost.activations * batch(one.verb, profile) // cost.images
            held += _features(one, profile, photos, models)
        found[one.stage] = max(found.get(one.stage, 0), held)
    return found


def batch(verb: str, profile: Profile) -> int:
    """Return the number of images per forward pass in the work `verb`."""
    return {
        "train on": profile.train.batch, "train off": profile.train.batch, "validate": VALIDATED_AT_ONCE,
        "encode": VALIDATED_AT_ONCE, "embed": 2 * VALIDATED_AT_ONCE, "rise": profile.rise.batch,
        "look": profile.fcam.classifier.batch, "train classifier": profile.fcam.classifier.batch,
        "train decoder": profile.fcam.decoder.batch,
        "pretrain": profile.encoder.pretrain.batch if profile.encoder.pretrain else 0,
    }.get(verb, profile.metrics.batch)  # fmt: skip


def _weights(work: Work, models: Models) -> int:
    """Estimate the bytes of weights, and of gradients and two moments of trained parts."""
    if work.model == "fcam":
        return FLOAT * parameters(models.fcam) * (3 if work.verb.startswith("train") else 1)
    encoder = parameters(models.encoder)
    adapter = parameters(models.explained(work.model).adapter) if work.model else 0
    return FLOAT * (encoder * (4 if work.verb == "pretrain" else 1) + adapter * 4)


def _features(work: Work, profile: Profile, photos: Photos, models: Models) -> int:
    """Estimate the bytes of cached features: ``CachedSource`` of ALA and ABN, ``FrozenFeatures`` of F-CAM."""
    settings = profile.fcam
    if work.verb == "train decoder" and settings.resize in (None, settings.input_size):
        cells = zip(models.fcam.network.channels, models.fcam.network.strides, strict=True)
        values = sum(width * (settings.input_size // stride) ** 2 for width, stride in cells)
        return min(CACHE_BYTES, FLOAT * values * photos.train * 2)
    if not work.verb.startswith("train") or work.model in ("", "fcam") or not keeps_features(profile):
        return 0
    model = models.explained(work.model)
    values = sum(model.adapter.blueprint.channels.values()) * model.encoder.grid**2 + 3 * model.preprocessing.size**2
    return FLOAT * values * (photos.train * (2 if profile.train.augment.hflip else 1) + photos.val)
