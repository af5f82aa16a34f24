"""Make batches for the adapter: normalised images and their encoder features, cached or computed on demand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ala.config.schema import Augment
from ala.contracts.compute import Precision, autocast
from ala.model.explained import FeatureEncoder
from ala.training.augment import augmented
from ala.utils.fitting import Halving
from ala.utils.ledger import count_forwards
from ala.utils.progress import track


class Images(Protocol):
    """The part of an image cache (:class:`ala.data.image_cache.ImageCache`) that training reads.

    Ids and labels are `(n,)`.
    """

    @property
    def size(self) -> int: ...
    @property
    def image_ids(self) -> np.ndarray: ...
    @property
    def labels(self) -> np.ndarray: ...

    def pixels(self, indices: np.ndarray) -> Tensor: ...  # uint8 (B, 3, size, size)


class Batch(NamedTuple):
    """Normalised `images` `(B, 3, S, S)`, `features` `{i: (B, C, g, g)}` and `labels` int64 `(B,)`, on one device."""

    images: Tensor
    features: Mapping[int, Tensor]
    labels: Tensor


class Source(Protocol):
    """A source of batches. `generator` draws the augmentation; None means no augmentation."""

    image_source: Images

    def batch(self, indices: np.ndarray, wanted: Collection[int], generator: torch.Generator | None) -> Batch: ...


class LiveSource:
    """Reads, augments and encodes images for each batch; with a LoraEncoder the features carry a gradient."""

    def __init__(
        self, encoder: FeatureEncoder, images: Images, augment: Augment | None, device: torch.device,
        precision: Precision = "fp32",
    ) -> None:  # fmt: skip
        self.encoder, self.image_source, self.augment, self.device = encoder, images, augment, device
        self.precision: Precision = precision
        self.labels = torch.as_tensor(np.asarray(images.labels, np.int64)).to(device)

    def batch(self, indices: np.ndarray, wanted: Collection[int], generator: torch.Generator | None) -> Batch:
        pixels = self.image_source.pixels(indices).to(self.device, non_blocking=True)
        preprocessing = self.encoder.preprocessing
        if self.augment is not None and generator is not None:
            pixels = augmented(pixels, preprocessing.size, self.augment, generator)
        images = preprocessing.normalise(pixels)  # (B, 3, S, S)
        count_forwards(len(images))
        with autocast(self.precision, self.device):
            features = self.encoder.features(images, wanted)
        return Batch(images, features, self.labels[torch.as_tensor(indices).to(self.device)])


class CachedSource:
    """A source whose images and features, with `hflip` also those of mirrored images, are computed once and kept on the
    device.

    Mirrored features are those of the mirrored image, not the image's features mirrored: an encoder is not symmetric.
    Features are kept channels-last `(n, g, g, C)`, so that LayerNorm over channels reads them in order.
    """

    def __init__(
        self, encoder: FeatureEncoder, images: Images, wanted: Collection[int], hflip: float, device: torch.device,
        batch: int = 64, precision: Precision = "fp32",
    ) -> None:  # fmt: skip
        self.image_source, self.hflip, self.device = images, hflip, device
        n, sides, size, grid = len(images.labels), 2 if hflip else 1, images.size, encoder.grid
        self.labels = torch.as_tensor(np.asarray(images.labels, np.int64)).to(device)
        self.images = torch.empty((sides * n, 3, size, size), device=device)
        self.kept = {
            feature: torch.empty((sides * n, grid, grid, encoder.feature_channels[feature]), device=device)
            for feature in wanted
        }

        def fill(start: int, stop: int) -> None:
            normalised = encoder.preprocessing.normalise(images.pixels(np.arange(start, stop)).to(device))
            for side in range(sides):
                places = slice(side * n + start, side * n + stop)
                self.images[places] = normalised = normalised.flip(-1) if side else normalised
                with autocast(precision, device):
                    features = encoder.features(normalised, wanted)
                for feature, value in features.items():
                    self.kept[feature][places] = value.permute(0, 2, 3, 1)
                count_forwards(len(normalised))

        halving = Halving()
        for first in track(range(0, n, batch), "encoder features", unit="batch"):
            halving(first, min(first + batch, n), fill)

    def batch(self, indices: np.ndarray, wanted: Collection[int], generator: torch.Generator | None) -> Batch:
        index = torch.as_tensor(indices)
        places = index
        if generator is not None and self.hflip:
            places = index + len(self.labels) * (torch.rand(len(indices), generator=generator) < self.hflip)
        index, places = index.to(self.device), places.to(self.device)
        features = {feature: self.kept[feature][places].permute(0, 3, 1, 2) for feature in wanted}  # (B, C, g, g)
        return Batch(self.images[places], features, self.labels[index])


def make_source(
    encoder: FeatureEncoder, images: Images, wanted: Collection[int], augment: Augment | None, device: torch.device, *,
    fixed: bool, limit: int, log: Callable[[str], None], precision: Precision = "fp32",
) -> Source:  # fmt: skip
    """Make a :class:`CachedSource` if that gives the same batches and fits `limit` bytes, else a :class:`LiveSource`.

    Args:
        augment: of training images; None for no augmentation.
        fixed: the encoder does not change during training (no LoRA).
        log: called with the reason if features are not cached.
        precision: in which the encoder runs; images and features are returned in float32.
    """
    mirror_only = augment is None or not (augment.resize or augment.blur or augment.sharpen)
    if not fixed or not mirror_only or images.size != encoder.preprocessing.size:
        log("encoder features are made again for each batch: the augmentation or LoRA changes them")
        return LiveSource(encoder, images, augment, device, precision)
    hflip = augment.hflip if augment is not None else 0.0
    values = sum(encoder.feature_channels[feature] for feature in wanted) * encoder.grid**2 + 3 * images.size**2
    needed = 4 * values * len(images.labels) * (2 if hflip else 1)
    if needed > limit:
        log(f"encoder features would take {needed / 2**30:.1f} GiB (bound {limit / 2**30:.1f}): made for each batch")
        return LiveSource(encoder, images, augment, device, precision)
    try:
        return CachedSource(encoder, images, wanted, hflip, device, precision=precision)
    except torch.OutOfMemoryError:
        log(f"the device has no room for {needed / 2**30:.1f} GiB of encoder features: made for each batch")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return LiveSource(encoder, images, augment, device, precision)
