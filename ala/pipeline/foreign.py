"""Maps that another program made: one file per image, named by the image's id or by its file's stem."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ala.contracts.maps import resize
from ala.utils.errors import UserError, reason
from ala.utils.files import UNREADABLE

#: Kinds of files, in the order in which they are looked for.
KINDS = (".npy", ".npz", ".png")


class Foreign:
    """The maps of a folder that `foreign` in params.yaml names; they are evaluated on the main model.

    Args:
        folder: of the maps: `ID.npy`, `STEM.npz` (with one array) or `STEM.png` (grey), larger = more important; of any
            size, resized to that of the evaluation.
    """

    explains = "nothing"
    class_agnostic = True
    baseline = False

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def explain(self, images: Tensor, targets: Tensor, ids: np.ndarray, stems: list[str]) -> Tensor:
        """Read the maps of images `ids`, whose files were named `stems`: `(B, S, S)`.

        Raises:
            UserError: an image has no map or two of them, or a file is no map.
        """
        files = [self._file(int(image), stem) for image, stem in zip(ids, stems, strict=True)]
        missing = [place for place, file in enumerate(files) if file is None]
        if missing:
            image, stem = int(ids[missing[0]]), stems[missing[0]]
            raise UserError(
                f"{self.folder} has no map of image {image} ({stem}), nor of {len(missing) - 1} of the next"
                f" {len(ids) - 1}; put {image}{KINDS[0]}, {KINDS[1]} or {KINDS[2]} there, or files named {stem}"
            )
        size = images.shape[-1]
        return torch.from_numpy(np.concatenate([resize(read(file)[None], size) for file in files if file is not None]))

    def _file(self, image: int, stem: str) -> Path | None:
        names = dict.fromkeys([str(image), stem])
        found = [path for name in names for kind in KINDS if (path := self.folder / f"{name}{kind}").is_file()]
        if len(found) > 1:
            raise UserError(f"{self.folder} has both {found[0].name} and {found[1].name} for image {image}; remove one")
        return found[0] if found else None


def read(file: Path) -> np.ndarray:
    """Read one map, float32 `(h, w)`.

    Raises:
        UserError: it is no array of two dimensions, no grey picture, or not finite.
    """
    try:
        if file.suffix == ".png":
            with Image.open(file) as picture:
                found = np.asarray(picture if picture.mode in ("1", "L", "I;16", "I", "F") else picture.convert("L"))
        else:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                found = loaded
            else:
                with loaded as archive:
                    if len(archive.files) != 1:
                        raise ValueError(f"it holds {len(archive.files)} arrays, not one")
                    found = archive[archive.files[0]]
        if found.ndim != 2 or found.dtype.kind not in "fiub":
            raise ValueError(f"it holds {found.dtype} of shape {found.shape}, not (height, width) of real numbers")
    except UNREADABLE as error:
        raise UserError(f"{file} is no map ({reason(error)}); write it again") from None
    values = found.astype(np.float32)
    if not np.isfinite(values).all():
        raise UserError(f"{file} holds NaN or infinity; write it again")
    return values


def digest(folder: Path) -> str:
    """sha256 of the names and bytes of all maps in `folder`.

    Raises:
        UserError: there is no such folder, or it holds no map.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix in KINDS)
    if not files:
        raise UserError(f"foreign: {folder} holds no {', '.join(KINDS)}; name the folder of the maps")
    whole = hashlib.sha256()
    for path in files:
        whole.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
