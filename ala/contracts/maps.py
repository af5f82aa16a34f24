"""Define Maps, the saliency maps that every explainer writes and every metric reads."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ala.utils.disk import temporary_file
from ala.utils.errors import UserError, reason
from ala.utils.files import UNREADABLE, atomic_path

IN_MEMORY = 256 * 2**20  # bytes; larger arrays of maps stay on disk
_PIECE = 16 * 2**20  # bytes of maps checked or written at a time


@dataclass(frozen=True)
class Maps:
    """Importance of image regions, larger = more important.

    Attributes:
        image_ids: int64 `(n,)`, unique, the ids of `images.txt`.
        importance: float32 `(n, h, w)`, finite, at the resolution the method produces; metrics resize it bilinearly
            (`align_corners=False`). One map `(1, h, w)` may be shared by all images; it is stored once.
        method: the explainer (`ala`, `rise`, ...).
        model: the model that the maps explain (`aea-true-sbn-true`, `fcam`, ...); empty for model-free maps.
        targets: int64 `(n,)`, the class that each map explains, -1 where the method is class-agnostic.
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
        if self.importance.ndim == 3:
            object.__setattr__(self, "importance", _plain(self.importance))
        if self.importance.ndim == 3 and len(self.importance) == 1:
            shared = np.broadcast_to(self.importance, (n, *self.importance.shape[1:]))
            object.__setattr__(self, "importance", shared)
        if self.importance.ndim != 3 or len(self.importance) != n:
            raise UserError(f"maps of {self.method}: importance must be ({n}, h, w), got {self.importance.shape}")
        if self.targets.shape != (n,):
            raise UserError(f"maps of {self.method}: targets must be ({n},), got {self.targets.shape}")
        if len(np.unique(self.image_ids)) != n:
            raise UserError(f"maps of {self.method}: an image id occurs twice; each image has one map")
        finite = [np.isfinite(values).all(axis=(1, 2)) for _, values in _pieces(self._stored())]
        spoiled = np.flatnonzero(~np.concatenate([np.zeros(0, bool), *finite]))
        if len(spoiled):
            raise UserError(
                f"maps of {self.method}: the map of image {self.image_ids[spoiled[0]]} ({len(spoiled)} in all) holds"
                " NaN or infinity; make those maps again"
            )
        for _, values in _pieces(self._stored()) if self.calibrated or self.binary else ():
            self._check_range(values)

    def _check_range(self, values: np.ndarray) -> None:
        if self.calibrated and values.size and (values.min() < 0 or values.max() > 1 + 1e-6):
            raise UserError(
                f"maps of {self.method} are called calibrated but reach from {values.min()} to {values.max()};"
                " scale them to [0, 1] or leave calibrated out"
            )
        if self.binary and not np.isin(values, (0, 1)).all():
            raise UserError(f"maps of {self.method} are called binary but hold values other than 0 and 1")

    def _stored(self) -> np.ndarray:
        """Return the importance to be written: a map shared by all images is stored once, `(1, h, w)`."""
        return _once(self.importance)

    def save(self, path: Path) -> None:
        """Write an `.npz` that is not compressed, atomically, a few maps at a time."""
        about = {"method": self.method, "model": self.model, "calibrated": self.calibrated, "binary": self.binary}
        stored = self._stored()
        with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, value in (
                ("image_ids", self.image_ids.astype(np.int64)),
                ("targets", self.targets.astype(np.int64)),
                ("about", np.array(json.dumps(about, sort_keys=True))),
            ):
                with _member(archive, name) as file:
                    np.lib.format.write_array(file, value, allow_pickle=False)
            with _member(archive, "importance") as file:
                header = {"descr": "<f4", "fortran_order": False, "shape": stored.shape}
                np.lib.format.write_array_header_1_0(file, header)
                for _, values in _pieces(stored):
                    file.write(np.ascontiguousarray(values, dtype="<f4").data)

    @classmethod
    def load(cls, path: Path) -> Maps:
        """Read what :meth:`save` wrote, or an `.npz` of other tools with the same contents: compressed or not, with
        importance of any type of real numbers, in C or Fortran order.

        Float32 that is not compressed stays in the file and is paged in where it is looked at, so maps larger than
        memory can be read. Anything else is unpacked first, to a temporary file where it is large.

        Raises:
            UserError: the file is missing, is no such archive, or breaks the contract; or there is no room to unpack.
        """
        try:
            if Path(path).is_file() and not zipfile.is_zipfile(path):  # numpy would take it for a pickle
                raise zipfile.BadZipFile("no .npz archive, or one cut off")
            with np.load(path, allow_pickle=False) as archive:
                ids, targets = (_integers(archive[name], name) for name in ("image_ids", "targets"))
                about = json.loads(str(archive["about"]))
            for name, kind in (("method", str), ("model", str), ("calibrated", bool), ("binary", bool)):
                if not isinstance(about[name], kind):
                    raise ValueError(f"{name} is {about[name]!r}")
            return cls(ids, _importance(path), about["method"], about["model"], targets, about["calibrated"],
                       about["binary"])  # fmt: skip
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; run the score stage that writes it") from None
        except UNREADABLE as error:
            raise UserError(
                f"{path} is no Maps file ({reason(error)}); delete it and run its score stage again"
            ) from None

    def positions(self, image_ids: np.ndarray) -> np.ndarray:
        """Return the indices of the maps of `image_ids`: int64 `(m,)`.

        Raises:
            UserError: an id has no map.
        """
        position = {int(image): row for row, image in enumerate(self.image_ids)}
        missing = [int(image) for image in image_ids if int(image) not in position]
        if missing:
            raise UserError(f"maps of {self.method} lack image {missing[0]} ({len(missing)} in all); explain it too")
        return np.array([position[int(image)] for image in image_ids], dtype=np.int64)

    def select(self, image_ids: np.ndarray) -> np.ndarray:
        """Importance `(m, h, w)` in the order of `image_ids`, in memory.

        Raises:
            UserError: an id has no map.
        """
        return np.ascontiguousarray(self.importance[self.positions(image_ids)])

    def view(self, image_ids: np.ndarray) -> Selected:
        """The maps of `image_ids` without a copy; a slice of it is in memory.

        Raises:
            UserError: an id has no map.
        """
        return Selected(self.importance, self.positions(image_ids))


@dataclass(frozen=True)
class Selected:
    """A selection or reordering of maps, read on access."""

    importance: np.ndarray
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, part: slice) -> np.ndarray:
        return np.ascontiguousarray(self.importance[self.indices[part]])


@dataclass(frozen=True)
class Computed:
    """Maps that are computed on access.

    Attributes:
        make: int `(b,)`, some of `indices`, to float32 `(b, h, w)`; called by several threads at once.
        indices: int `(n,)`.
    """

    make: Callable[[np.ndarray], np.ndarray]
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.make(self.indices[part])


def disk_backed(shape: tuple[int, ...], limit: int | None = None) -> np.ndarray:
    """A float32 array to be filled: in memory up to `limit` (:data:`IN_MEMORY`) bytes, else mapped to an unnamed
    temporary file.

    The system writes pages of such a file out when memory is short, and frees the disk space when the last reference
    is gone. It lies where `tempfile` puts files (`TMPDIR`).

    Raises:
        UserError: there is no room for the file.
    """
    size = 4 * int(np.prod(shape, dtype=np.int64))
    if size <= (IN_MEMORY if limit is None else limit):
        return np.empty(shape, np.float32)
    with temporary_file(size, f"an array of {' x '.join(map(str, shape))} values") as file:
        return np.memmap(file, np.float32, "r+", shape=shape)


def _plain(importance: np.ndarray) -> np.ndarray:
    """Maps `(n, h, w)` as float32; in memory also in C order, so that equal maps are summed up in the same order."""
    if isinstance(importance, np.memmap) and importance.dtype == np.float32:
        return importance
    with np.errstate(over="ignore"):  # beyond float32 is infinity, which the contract refuses
        stored = np.ascontiguousarray(_once(importance), dtype=np.float32)
    return stored if len(stored) == len(importance) else np.broadcast_to(stored, importance.shape)


def _once(importance: np.ndarray) -> np.ndarray:
    """Return `(1, h, w)` if all maps share the same memory, else all of them."""
    return importance[:1] if len(importance) > 1 and importance.strides[0] == 0 else importance


def _pieces(maps: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield maps a few at a time, each part with the index of its first map."""
    at_once = max(1, _PIECE // max(1, 4 * int(np.prod(maps.shape[1:]))))
    for start in range(0, len(maps), at_once):
        yield start, maps[start : start + at_once]


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open a file in `archive` for writing, with a constant time stamp, so that equal maps are equal bytes."""
    return archive.open(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), "w", force_zip64=True)


def _integers(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "iu" or not np.can_cast(values.dtype, np.int64):
        raise ValueError(f"{name} are no list of whole numbers")
    return values.astype(np.int64)


def _importance(path: Path) -> np.ndarray:
    """Read the array `importance` of an `.npz`: memory-mapped where it is stored uncompressed, else unpacked."""
    with zipfile.ZipFile(path) as archive, archive.open("importance.npy") as file:
        info = archive.getinfo("importance.npy")
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
        if dtype.kind not in "fiub":
            raise ValueError("importance is no array of real numbers")
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if info.file_size != file.tell() + size:
            raise ValueError(
                f"importance of shape {shape} needs {size:,} bytes, but has {info.file_size - file.tell():,}"
            )
        if info.compress_type == zipfile.ZIP_STORED and dtype == np.dtype("<f4") and size > IN_MEMORY:
            with path.open("rb") as raw:  # the lengths of name and extra field are the last two numbers of the header
                raw.seek(info.header_offset + 26)
                name, extra = struct.unpack("<HH", raw.read(4))
            start = info.header_offset + 30 + name + extra + file.tell()
            return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
        found = disk_backed(shape[::-1] if fortran else shape)  # as it lies in the file
        flat = found.reshape(-1)
        at_once = _PIECE // dtype.itemsize
        for begin in range(0, flat.size, at_once):
            part = flat[begin : begin + at_once]
            with np.errstate(over="ignore"):  # beyond float32 is infinity, which the contract refuses
                part[:] = np.frombuffer(file.read(part.size * dtype.itemsize), dtype)
        return found.T if fortran else found


def resize(importance: np.ndarray, image_size: int) -> np.ndarray:
    """Resize maps `(n, h, w)` to float32 `(n, S, S)`, bilinear with `align_corners=False`.

    It runs on the CPU, so that every metric and figure uses the same values on every machine, and in float64: float32
    weights that do not quite sum to 1 would make equal values slightly unequal, and order them.
    """
    import torch

    if importance.shape[1:] == (image_size, image_size):
        return np.asarray(importance, dtype=np.float32)
    maps = torch.as_tensor(np.array(importance, dtype=np.float64))[:, None]  # (n, 1, h, w)
    resized = torch.nn.functional.interpolate(maps, size=(image_size, image_size), mode="bilinear", align_corners=False)
    return resized[:, 0].float().numpy()  # (n, S, S)
