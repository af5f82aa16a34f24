"""Where a run lies and what it is to compute: what every function of the pipeline is given."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch

from ala import registry
from ala.config.schema import Profile, Settings
from ala.contracts.compute import used
from ala.data.image_cache import ImageCache
from ala.pipeline.models import Loaded, load
from ala.utils.files import stamps


@dataclass(frozen=True)
class Context:
    """Settings, folders, seed and device of one cell; small enough to be sent to another process.

    Attributes:
        settings: all of them.
        seed: of the cell.
        device: where models run.
        images: the folder of the image caches, one per size.
        models, maps, splits: folders of trained models, of maps, and of the lists of images.
    """

    settings: Settings
    seed: int
    device: torch.device
    images: Path = Path("data/image_cache")
    models: Path = Path("models")
    maps: Path = Path("maps")
    splits: Path = Path("data/splits")
    encoder: Path | None = None  # the frozen encoder's folder; None: models/encoder

    @property
    def profile(self) -> Profile:
        """The active profile."""
        return self.settings.active

    def split(self, name: str, size: int | None = None) -> ImageCache:
        """The images of a split at `size` (default: data.input_size)."""
        return _opened(self.key, self.images / str(size or self.profile.data.input_size), name)

    def model(self, name: str) -> Loaded:
        """A trained model of this seed."""
        return load(name, self.seed, self.models, self.encoder or self.models / "encoder", self.device, self.key)

    @cached_property
    def executor(self) -> Any:
        """What computes shards."""
        wanted = self.settings.executor
        return registry.find("executors", wanted.kind)(wanted.workers)

    @cached_property
    def decides(self) -> dict[str, Any]:
        """What decides about every number of this cell beside settings, code and models, for digests of shards."""
        return {
            "images": stamps(self.images), "seed": self.seed, "engine": self.profile.engine.model_dump(),
            "used": used(self.device, self.profile.engine.precision, self.profile.metrics.batch),
        }  # fmt: skip

    @cached_property
    def key(self) -> str:
        """The same for equal contexts whose images and models have not changed, also in another process."""
        parts = (self.settings.model_dump_json(), self.seed, str(self.device), Path.cwd(), self.images, self.models,
                 self.encoder, stamps(self.images), stamps(self.models))  # fmt: skip
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("executor", "decides", "key")}


@lru_cache(maxsize=8)
def _opened(key: str, folder: Path, split: str) -> ImageCache:
    """The image cache of a context's `key`: not an older one of this process, nor one in another working directory."""
    return ImageCache.open(folder, split)
