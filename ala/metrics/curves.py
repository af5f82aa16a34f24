"""Store insertion and deletion curves, one row per method and image."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ala.utils.errors import UserError, reason
from ala.utils.files import UNREADABLE, atomic_path


def area(curves: np.ndarray) -> np.ndarray:
    """Compute the area under curves `(n, T + 1)` over [0, 1] by the trapezoid rule: float64 `(n,)` (METHODS 5.1)."""
    curves = np.asarray(curves, dtype=np.float64)
    return (curves.sum(axis=1) - curves[:, 0] / 2 - curves[:, -1] / 2) / (curves.shape[1] - 1)


@dataclass(frozen=True)
class Curves:
    """Probability of each image's target class while its pixels are inserted or deleted.

    Attributes:
        methods: str `(n,)`, whose map ordered the pixels.
        image_ids: int64 `(n,)`.
        targets: int64 `(n,)`, the class followed.
        insertion: float32 `(n, T + 1)`, from the blurred image to the whole one.
        deletion: float32 `(n, T + 1)`, from the whole image to the empty one.
        tie_shares: float64 `(n,)`, the share of pixels whose importance another pixel has, too.
        forwards: forward passes (images) of these curves.
    """

    methods: np.ndarray
    image_ids: np.ndarray
    targets: np.ndarray
    insertion: np.ndarray
    deletion: np.ndarray
    tie_shares: np.ndarray
    forwards: int

    def areas(self) -> dict[str, np.ndarray]:
        """Compute the areas under both curves and their difference `id`, float64 `(n,)` each."""
        insertion, deletion = area(self.insertion), area(self.deletion)
        return {"insertion": insertion, "deletion": deletion, "id": insertion - deletion}

    def save(self, path: Path) -> None:
        """Write a compressed `.npz`, atomically."""
        parts: dict[str, Any] = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **parts)

    @classmethod
    def load(cls, path: Path) -> Curves:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: the file is missing or is no such archive.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                parts = {field.name: archive[field.name] for field in fields(cls)}
            return cls(**{**parts, "forwards": int(parts["forwards"])})
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; run the score stage that writes it") from None
        except UNREADABLE as error:
            raise UserError(
                f"{path} holds no curves ({reason(error)}); delete it and run its score stage again"
            ) from None

    @classmethod
    def join(cls, parts: list[Curves]) -> Curves:
        """Concatenate the rows of several curves, in order."""
        columns = [field.name for field in fields(cls) if field.name != "forwards"]
        rows = {name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
        return cls(**rows, forwards=sum(part.forwards for part in parts))
