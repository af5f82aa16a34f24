"""Maps: what every explainer writes and every metric reads."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ala.runtime.errors import UserError
from ala.runtime.files import atomic_path


@dataclass(frozen=True)
class Maps:
    """Importance of image regions, larger = more important.

    Attributes:
        image_ids: int64 `(n,)`, unique, the ids of `images.txt`.
        importance: float32 `(n, h, w)`, finite, at the resolution the method produces; metrics resize it
            bilinearly (`align_corners=False`). One map `(1, h, w)` stands for every image; it is kept and saved once.
        method: the explainer (`ala`, `rise`, ...).
        model: the model that the maps explain (`aea-true-sbn-true`, `fcam`, ...); empty for model-free maps.
        targets: int64 `(n,)`, the class each map argues for, -1 where the method is class-agnostic.
        calibrated: the values have a meaning of their own in [0, 1] (F-CAM's foreground probability), so fixed
            thresholds apply to them as they are, without a min-max first (METHODS 7, pitfall 14).
        binary: the values are 0 or 1 and are themselves the prediction, so no threshold rule applies (the full
            image, the ground-truth box); where they were resized, more than one half is foreground.
    """

    image_ids: np.ndarray
    importance: np.ndarray
    method: str
    model: str
    targets: np.ndarray
    calibrated: bool = False
    binary: bool = False

    def __post_init__(self) -> None:
        n = len(self.image_ids)
        if self.importance.ndim == 3 and len(self.importance) == 1:
            shared = np.broadcast_to(self.importance, (n, *self.importance.shape[1:]))
            object.__setattr__(self, "importance", shared)
        if self.importance.ndim != 3 or len(self.importance) != n:
            raise UserError(f"maps of {self.method}: importance must be ({n}, h, w), got {self.importance.shape}")
        if self.targets.shape != (n,):
            raise UserError(f"maps of {self.method}: targets must be ({n},), got {self.targets.shape}")
        if len(np.unique(self.image_ids)) != n:
            raise UserError(f"maps of {self.method}: an image id stands twice; each image has one map")
        values = self._stored()
        bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
        if len(bad):
            raise UserError(
                f"maps of {self.method}: the map of image {self.image_ids[bad[0]]} ({len(bad)} in all) holds"
                " NaN or infinity; make those maps again"
            )
        if self.calibrated and n and (values.min() < 0 or values.max() > 1 + 1e-6):
            raise UserError(
                f"maps of {self.method} are called calibrated but reach from {values.min()} to {values.max()};"
                " scale them to [0, 1] or leave calibrated out"
            )
        if self.binary and not np.isin(values, (0, 1)).all():
            raise UserError(f"maps of {self.method} are called binary but hold values other than 0 and 1")

    def _stored(self) -> np.ndarray:
        """Importance as it is written: a map shared by all images stands once, `(1, h, w)`."""
        shared = len(self.importance) > 1 and self.importance.strides[0] == 0
        return self.importance[:1] if shared else self.importance

    def save(self, path: Path) -> None:
        """Write a compressed `.npz`, atomically."""
        about = {"method": self.method, "model": self.model, "calibrated": self.calibrated, "binary": self.binary}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                image_ids=self.image_ids.astype(np.int64),
                importance=self._stored().astype(np.float32),
                targets=self.targets.astype(np.int64),
                about=np.array(json.dumps(about, sort_keys=True)),
            )

    @classmethod
    def load(cls, path: Path) -> Maps:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: the file is missing, is no such archive, or breaks the contract.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                about = json.loads(str(archive["about"]))
                return cls(archive["image_ids"], archive["importance"], about["method"], about["model"],
                           archive["targets"], about["calibrated"], about["binary"])  # fmt: skip
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; run the explain stage that writes it") from None
        except (KeyError, TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{path} is no Maps file ({error}); delete it and run its explain stage again") from None

    def select(self, image_ids: np.ndarray) -> np.ndarray:
        """Importance `(m, h, w)` in the order of `image_ids`.

        Raises:
            UserError: an id has no map.
        """
        position = {int(image): row for row, image in enumerate(self.image_ids)}
        missing = [int(image) for image in image_ids if int(image) not in position]
        if missing:
            raise UserError(f"maps of {self.method} lack image {missing[0]} ({len(missing)} in all); explain it too")
        return self.importance[[position[int(image)] for image in image_ids]]


def resize(importance: np.ndarray, side: int) -> np.ndarray:
    """Maps `(n, h, w)` at float32 `(n, side, side)`, bilinear with `align_corners=False`.

    Always on the CPU, so that every metric and figure sees the same values on every machine, and computed in float64:
    float32 weights that do not quite sum to 1 would turn equal values into almost equal ones, and order them.
    """
    import torch

    if importance.shape[1:] == (side, side):
        return np.asarray(importance, dtype=np.float32)
    maps = torch.as_tensor(np.array(importance, dtype=np.float64))[:, None]  # (n, 1, h, w)
    resized = torch.nn.functional.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)
    return resized[:, 0].float().numpy()  # (n, side, side)
