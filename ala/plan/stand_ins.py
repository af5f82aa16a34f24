"""Make synthetic images, masks and maps of the real sizes for a calibration."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from ala.config.schema import Profile
from ala.contracts.maps import Maps, resize
from ala.data.store import Store
from ala.training.features import Batch, Photos


def store(side: int, count: int, split: str = "test") -> Store:
    """Make an image cache of `count` identical smooth images of one class, masked by an ellipse, stored once."""
    random = np.random.default_rng(0)
    smooth = 255 * resize(random.random((3, 8, 8)), side).transpose(1, 2, 0)
    photo = np.clip(smooth + random.normal(0, 6, (side, side, 3)), 0, 255).astype(np.uint8)
    y, x = np.mgrid[:side, :side] / side - 0.5
    mask = np.where((x / 0.3) ** 2 + (y / 0.2) ** 2 < 1, 255, 0).astype(np.uint8)
    box = np.array([0.2, 0.3, 0.6, 0.4], np.float32) * side
    rows = np.arange(count)
    return Store(
        size=side, split=split, names=["bird"], image_ids=rows + 1, labels=np.zeros(count, np.int64),
        images=np.broadcast_to(photo, (count, side, side, 3)), masks=np.broadcast_to(mask, (count, side, side)),
        boxes=np.tile(box, (count, 1)),
    )  # fmt: skip


def maps(store: Store, side: int, seed: int = 0) -> Maps:
    """Make smooth maps `(n, side, side)` in [0, 1] for the images of `store`."""
    random = np.random.default_rng(seed)
    values = gaussian_filter(random.random((len(store), side, side)), (0, side / 8, side / 8))
    low, high = values.min(axis=(1, 2), keepdims=True), values.max(axis=(1, 2), keepdims=True)
    importance = ((values - low) / (high - low)).astype(np.float32)
    return Maps(store.image_ids, importance, "stand-in", "stand-in", np.full(len(store), -1))


class Features:
    """Batches of random encoder features and images, as :class:`ala.training.features.CachedSource` gives them."""

    def __init__(self, photos: Photos, taps: dict[int, Tensor], images: Tensor) -> None:
        self.photos: Photos = photos
        self._taps, self._images = taps, images

    @classmethod
    def of(cls, profile: Profile, channels: dict[int, int], grid: int, count: int, device: torch.device) -> Features:
        """Make random features of `count` images."""
        side = profile.data.input_size
        taps = {tap: torch.randn(count, grid, grid, width, device=device) for tap, width in channels.items()}
        return cls(store(side, count), taps, torch.randn(count, 3, side, side, device=device))

    def first(self, count: int) -> Features:
        """Select the first `count` images."""
        return Features(store(self.photos.size, count), self._taps, self._images)

    def batch(self, rows: np.ndarray, wanted: Collection[int], generator: torch.Generator | None) -> Batch:
        """Return the images `rows` with the features `wanted`, as the training loop requests them."""
        index = torch.as_tensor(rows, device=self._images.device)
        taps = {tap: self._taps[tap][index].permute(0, 3, 1, 2) for tap in wanted}
        return Batch(self._images[index], taps, torch.zeros_like(index))
