"""The image cache: images and masks at one size, memory-mapped.

`ala.data.image_cache_build` writes it (METHODS 1.5).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ala.utils.errors import UserError

if TYPE_CHECKING:
    import torch  # imported late: building an image cache does without it

IMAGE_CACHE_VERSION = 1  # of the files' layout
_PARTS = ("images", "masks", "ids", "labels", "boxes")


@dataclass(frozen=True)
class ImageCache:
    """The cached images of one split at S x S pixels; arrays stay on disk until they are indexed.

    Attributes:
        size: the image size S.
        split: train, val or test.
        names: class names; position k is label k.
        image_ids: `(n,)` int64, ascending.
        labels: `(n,)` int64 from 0.
        images: `(n, S, S, 3)` uint8 RGB. The whole image, aspect not kept.
        masks: `(n, S, S)` uint8, shares of annotators times 255 as `ala.data.decode` reads them, nearest neighbour,
            not binarised; 0 where there is no mask.
        boxes: `(n, 4)` float32 `x, y, width, height` in pixels of the S x S image: of the data set's list, or else
            around the mask's object; NaN where there is neither.
        unmasked: ids of the images that have no mask.
    """

    size: int
    split: str
    names: list[str]
    image_ids: np.ndarray
    labels: np.ndarray
    images: np.ndarray
    masks: np.ndarray
    boxes: np.ndarray
    unmasked: frozenset[int] = field(default=frozenset())

    @classmethod
    def open(cls, folder: Path, split: str) -> ImageCache:
        """Open `split` in the folder of one image size, e.g. `data/image_cache/384`.

        Raises:
            UserError: there is no whole image cache with this split.
        """
        folder = Path(folder)
        about = _about(folder)
        if split not in about["splits"]:
            raise UserError(
                f"{folder} holds the splits {', '.join(about['splits'])}, not {split}; run `dvc repro image_cache`"
            )
        parts: dict[str, np.ndarray] = {}
        for part in _PARTS:
            file = folder / f"{split}-{part}.npy"
            try:
                parts[part] = np.load(file, mmap_mode="r" if part in ("images", "masks") else None, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise UserError(
                    f"{file} is unreadable ({error}); delete {folder} and run `dvc repro image_cache`"
                ) from None
        size, count = about["size"], about["splits"][split]
        shapes = {
            "images": (count, size, size, 3), "masks": (count, size, size), "ids": (count,), "labels": (count,),
            "boxes": (count, 4),
        }  # fmt: skip
        for part, shape in shapes.items():
            if parts[part].shape != shape:
                raise UserError(
                    f"{folder / f'{split}-{part}.npy'} has shape {parts[part].shape}, image_cache.json says {shape};"
                    f" delete {folder} and run `dvc repro image_cache`"
                )
        return cls(
            size=size, split=split, names=about["names"], image_ids=parts["ids"], labels=parts["labels"],
            images=parts["images"], masks=parts["masks"], boxes=parts["boxes"],
            unmasked=frozenset(about.get("unmasked", {}).get(split, ())),
        )  # fmt: skip

    def __len__(self) -> int:
        """The number of images n."""
        return len(self.image_ids)

    def pixels(self, indices: Sequence[int] | np.ndarray | slice) -> torch.Tensor:
        """The images at `indices` as a uint8 tensor `(B, 3, S, S)` on the CPU, 0..255, not normalised."""
        import torch

        chosen = np.array(self.images[indices if isinstance(indices, slice) else np.asarray(indices, dtype=np.int64)])
        return torch.from_numpy(chosen).permute(0, 3, 1, 2).contiguous()  # (B, 3, S, S)

    def foreground(self, indices: Sequence[int] | np.ndarray | slice, threshold: int = 127) -> np.ndarray:
        """The object at `indices`: boolean `(B, S, S)`, true where the mask's grey level exceeds `threshold`.

        Thresholding after the nearest-neighbour resizing equals thresholding before it, as METHODS 1.3 requires.

        Raises:
            UserError: one of the images has no mask.
        """
        chosen = indices if isinstance(indices, slice) else np.asarray(indices, dtype=np.int64)
        lost = self.unmasked.intersection(self.image_ids[chosen].tolist())
        if lost:
            raise UserError(
                f"image {min(lost)} of the {self.split} split has no mask, so its object is unknown; add it"
            )
        return is_object(np.asarray(self.masks[chosen]), threshold)

    def indices_of(self, image_ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """The indices at which `image_ids` lie, in their order, int64.

        Raises:
            UserError: an id is not in this split.
        """
        wanted = np.asarray(image_ids, dtype=np.int64)
        indices = np.minimum(np.searchsorted(self.image_ids, wanted), len(self) - 1)
        wrong = self.image_ids[indices] != wanted
        if wrong.any():
            raise UserError(
                f"image {wanted[wrong][0]} is not in the {self.split} split ({int(wrong.sum())} such ids);"
                " the maps or scores that name it belong to another data set or split, make them again"
            )
        return indices


def is_object(votes: np.ndarray, threshold: int) -> np.ndarray:
    """Where the object is, boolean in the shape of `votes` (shares of annotators times 255, uint8).

    The one place where a grey level becomes object or background.
    """
    return votes > threshold


def check_subset(labels: np.ndarray, names: Sequence[str], split: str, per_class: int | None) -> None:
    """Refuse a class-balanced subset of a split that some class is too small for.

    Args:
        labels: of the images of the split, from 0.
        names: of all classes.
        split: its name, for the message.
        per_class: images of each class; None means all, which there always are.

    Raises:
        UserError: a class has fewer images; it is named.
    """
    counts = np.bincount(labels, minlength=len(names))
    for label, name in enumerate(names):
        if per_class is not None and counts[label] < per_class:
            raise UserError(
                f"class {name} has {counts[label]} images in the {split} split, {per_class} per class"
                " are requested; lower images_per_class or val_images_per_class of the profile's metrics"
            )


def subset_indices(cache: ImageCache, per_class: int | None, seed: int) -> np.ndarray:
    """Indices of a class-balanced subset: `per_class` images of each class, ascending, the same for every caller.

    Under one seed a smaller subset is part of every larger one. None means all indices.

    Raises:
        UserError: a class has fewer images.
    """
    if per_class is None:
        return np.arange(len(cache))
    check_subset(cache.labels, cache.names, cache.split, per_class)
    chosen = []
    for label in range(len(cache.names)):
        indices = np.flatnonzero(cache.labels == label)
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, label + 1])))
        chosen.append(generator.permutation(indices)[:per_class])
    return np.sort(np.concatenate(chosen))


def _about(folder: Path) -> dict[str, Any]:
    file = folder / "image_cache.json"
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        if about["version"] != IMAGE_CACHE_VERSION:
            raise UserError(
                f"{file} has version {about['version']}, expected {IMAGE_CACHE_VERSION}; run `dvc repro image_cache`"
            )
        if not isinstance(about["size"], int) or not isinstance(about["splits"], dict):
            raise TypeError("size or splits")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{file} does not exist; run `dvc repro image_cache` first") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is no image cache ({error!r}); delete {folder} and run `dvc repro image_cache`"
        ) from None
    return about
