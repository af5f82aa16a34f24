"""The image cache: images and masks at one size, memory-mapped; `ala.data.store_build` writes it (METHODS 1.5)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ala.utils.errors import UserError

if TYPE_CHECKING:
    import torch  # imported late: building a store does without it

STORE_VERSION = 1  # of the files' layout
_PARTS = ("images", "masks", "ids", "labels", "boxes")


@dataclass(frozen=True)
class Store:
    """The cached images of one split at S x S pixels; arrays stay on disk until they are indexed.

    Attributes:
        size: the side S.
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
    def open(cls, folder: Path, split: str) -> Store:
        """Open `split` in the folder of one side length, e.g. `data/store/384`.

        Raises:
            UserError: there is no whole store with this split.
        """
        folder = Path(folder)
        about = _about(folder)
        if split not in about["splits"]:
            raise UserError(
                f"{folder} holds the splits {', '.join(about['splits'])}, not {split}; run `dvc repro store`"
            )
        parts: dict[str, np.ndarray] = {}
        for part in _PARTS:
            file = folder / f"{split}-{part}.npy"
            try:
                parts[part] = np.load(file, mmap_mode="r" if part in ("images", "masks") else None, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise UserError(f"{file} is unreadable ({error}); delete {folder} and run `dvc repro store`") from None
        size, count = about["size"], about["splits"][split]
        shapes = {
            "images": (count, size, size, 3), "masks": (count, size, size), "ids": (count,), "labels": (count,),
            "boxes": (count, 4),
        }  # fmt: skip
        for part, shape in shapes.items():
            if parts[part].shape != shape:
                raise UserError(
                    f"{folder / f'{split}-{part}.npy'} has shape {parts[part].shape}, store.json says {shape};"
                    f" delete {folder} and run `dvc repro store`"
                )
        return cls(
            size=size, split=split, names=about["names"], image_ids=parts["ids"], labels=parts["labels"],
            images=parts["images"], masks=parts["masks"], boxes=parts["boxes"],
            unmasked=frozenset(about.get("unmasked", {}).get(split, ())),
        )  # fmt: skip

    def __len__(self) -> int:
        """The number of images n."""
        return len(self.image_ids)

    def pixels(self, rows: Sequence[int] | np.ndarray | slice) -> torch.Tensor:
        """The images at `rows` as a uint8 tensor `(B, 3, S, S)` on the CPU, 0..255, not normalised."""
        import torch

        chosen = np.array(self.images[rows if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)])
        return torch.from_numpy(chosen).permute(0, 3, 1, 2).contiguous()  # (B, 3, S, S)

    def foreground(self, rows: Sequence[int] | np.ndarray | slice, threshold: int = 127) -> np.ndarray:
        """The object at `rows`: boolean `(B, S, S)`, true where the mask's grey level exceeds `threshold`.

        Thresholding after the nearest-neighbour resizing equals thresholding before it, as METHODS 1.3 asks.

        Raises:
            UserError: one of the images has no mask.
        """
        chosen = rows if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)
        lost = self.unmasked.intersection(self.image_ids[chosen].tolist())
        if lost:
            raise UserError(
                f"image {min(lost)} of the {self.split} split has no mask, so its object is unknown; add it"
            )
        return is_object(np.asarray(self.masks[chosen]), threshold)

    def rows_of(self, image_ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """The rows at which `image_ids` lie, in their order, int64.

        Raises:
            UserError: an id is not in this split.
        """
        wanted = np.asarray(image_ids, dtype=np.int64)
        rows = np.minimum(np.searchsorted(self.image_ids, wanted), len(self) - 1)
        wrong = self.image_ids[rows] != wanted
        if wrong.any():
            raise UserError(
                f"photo {wanted[wrong][0]} is not in the {self.split} split ({int(wrong.sum())} such ids);"
                " the maps or scores that name it belong to another data set or split, make them again"
            )
        return rows


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
                f"class {name} has {counts[label]} photos in the {split} split, {per_class} per class"
                " are asked for; lower images_per_class or val_images_per_class of the profile's metrics"
            )


def subset_rows(store: Store, per_class: int | None, seed: int) -> np.ndarray:
    """Rows of a class-balanced subset: `per_class` images of each class, ascending, the same for every caller.

    Under one seed a smaller subset is part of every larger one. None means all rows.

    Raises:
        UserError: a class has fewer images.
    """
    if per_class is None:
        return np.arange(len(store))
    check_subset(store.labels, store.names, store.split, per_class)
    chosen = []
    for label in range(len(store.names)):
        rows = np.flatnonzero(store.labels == label)
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, label + 1])))
        chosen.append(generator.permutation(rows)[:per_class])
    return np.sort(np.concatenate(chosen))


def _about(folder: Path) -> dict[str, Any]:
    file = folder / "store.json"
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        if about["version"] != STORE_VERSION:
            raise UserError(f"{file} has version {about['version']}, expected {STORE_VERSION}; run `dvc repro store`")
        if not isinstance(about["size"], int) or not isinstance(about["splits"], dict):
            raise TypeError("size or splits")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{file} does not exist; run `dvc repro store` first") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no store ({error!r}); delete {folder} and run `dvc repro store`") from None
    return about
