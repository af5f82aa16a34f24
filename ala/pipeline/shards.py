"""Long work in shards: a few images each, one file each, never computed twice.

A shard's file is named by the digest of everything that decides about it (settings, the model's bytes, code, image
ids, device). A shard that exists is not made again; so going on after a kill, running in several processes or on
several machines, and changing one metric of many are the same thing. Files lie in `state/shards` (`ALA_STATE` names
another place than `state`), outside DVC's outs, which DVC removes before it runs a stage; `make clean-state` removes
them.

The partition depends on the work alone, never on executor or workers, so results do not either.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ala.utils.errors import UserError
from ala.utils.files import atomic_path
from ala.utils.progress import progress

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Shard:
    """A piece of work: `make(*arguments)` gives its arrays; both can be pickled.

    Attributes:
        path: of its file.
        images: how many images it is about, for the progress bar.
    """

    path: Path
    images: int
    make: Callable[..., Arrays]
    arguments: tuple[Any, ...]


def shard(
    work: str, decides: dict[str, Any], make: Callable[..., Arrays], arguments: tuple[Any, ...], images: int
) -> Shard:
    """A shard of `work` (e.g. `rise/seed-0/test`), named by the digest of what `decides` (JSON) and torch's version."""
    whole = json.dumps({**decides, "torch": version("torch")}, sort_keys=True, default=str).encode()
    name = f"{hashlib.sha256(whole).hexdigest()[:32]}.npz"
    return Shard(folder() / re.sub(r"[^A-Za-z0-9_.+-]", "_", work) / name, images, make, arguments)


def folder() -> Path:
    """Where shards lie."""
    return Path(os.environ.get("ALA_STATE") or "state") / "shards"


def pieces(count: int, at_once: int) -> list[tuple[int, int]]:
    """`(start, stop)` of `count` images in shards of `at_once`, the last one smaller."""
    return [(start, min(count, start + at_once)) for start in range(0, count, at_once)]


def compute(shards: Sequence[Shard], executor: Any, what: str) -> Iterator[Arrays]:
    """The arrays of all `shards`, in order, read one at a time; those whose file is missing `executor` makes first.

    Raises:
        UserError: a shard cannot be made or written.
    """
    missing = [one for one in shards if not one.path.exists()]
    if missing:
        total, left = (sum(one.images for one in some) for some in (shards, missing))
        with progress(total, what, unit="image", done=total - left) as advance:
            for one, _ in zip(missing, executor.results(make, missing), strict=True):
                advance(one.images)
    return map(read, shards)


def make(one: Shard) -> None:
    """Compute a shard and write its file, whole or not at all."""
    arrays = one.make(*one.arguments)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    try:
        with atomic_path(one.path) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
    except OSError as error:
        raise UserError(
            f"{one.path.parent}: cannot keep {len(content):,} bytes of finished work ({error.strerror}); make room, or"
            " name another folder by ALA_STATE"
        ) from None
    log = os.environ.get("ALA_UNIT_LOG")  # who kills runs can count there what was done twice
    if log:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{one.path.parent.name}\t{one.path.stem}\n")


def read(one: Shard) -> Arrays:
    """The arrays of a shard; a damaged file is made again, and a line says so."""
    arrays = _content(one.path)
    if arrays is None:
        print(f"note: {one.path} is damaged, what it held is made again", file=sys.stderr)
        make(one)
        arrays = _content(one.path)
    assert arrays is not None
    return arrays


def _content(path: Path) -> Arrays | None:
    content = path.read_bytes()
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        return None
    with np.load(io.BytesIO(content[32:]), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
