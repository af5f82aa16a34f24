"""Folders that must not be written to, disks that are full, clocks that jump."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import tempfile
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bad_inputs.case import Accepted, Case
from tests.bad_inputs.world import World

TRAIN = "train --variant abn --seed 0"


def _read_only(name: str) -> Callable[[World], None]:
    """Take away the right to write into a folder; root keeps it, so for root the call itself is refused."""

    def damage(world: World) -> None:
        folder = world / name
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid():
            folder.chmod(0o555)
            return
        for call in ("mkdtemp", "mkstemp"):
            real: Callable[..., Any] = getattr(tempfile, call)

            def refuse(*words: Any, real: Callable[..., Any] = real, **options: Any) -> Any:
                place = Path(options.get("dir") or "/").absolute()
                if folder in [place, *place.parents]:
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(options["dir"]))
                return real(*words, **options)

            world.patch.setattr(tempfile, call, refuse)

    return damage


def _limited(size: int) -> Callable[[World], None]:
    """No file may grow beyond `size` bytes: the kernel refuses the write, as on a full disk."""

    def damage(world: World) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        real = world.patch.undo

        def undo() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            real()

        world.patch.undo = undo  # type: ignore[method-assign]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    return damage


def _full(name: str) -> Callable[[World], None]:
    """The disk has 1,000 bytes left."""

    def damage(world: World) -> None:
        usage = namedtuple("usage", "total used free")
        world.patch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1_000, 1_000))

    return damage


def _file(name: str) -> Callable[[World], None]:
    """A file where a folder is needed."""

    def damage(world: World) -> None:
        shutil.rmtree(world / name, ignore_errors=True)
        (world / name).parent.mkdir(parents=True, exist_ok=True)
        (world / name).write_text("in the way\n")

    return damage


SCORE = "score --methods abn --seed 0"
PERMISSION, LIMIT = "change its permissions, or name another place", "or write to another disk"
CASES = [
    Case("the folder of the data must not be written to", "data", _read_only("data"), "data", "Permission denied",
         PERMISSION),
    Case("the folder of the models must not be written to", TRAIN, _read_only("models/abn"), "models/abn",
         "Permission denied", PERMISSION),
    Case("the folder of the maps must not be written to", SCORE, _read_only("maps/abn"), "maps/abn",
         "Permission denied", PERMISSION),
    Case("the folder of the scores must not be written to", SCORE, _read_only("scores/abn"), "scores/abn",
         "Permission denied", PERMISSION),
    Case("the folder of the report must not be written to", "report", _read_only("reports"), "reports",
         "Permission denied", PERMISSION),
    Case("a file where the maps' folder should be", SCORE, _file("maps"), "maps", "", "name another place"),
    Case("a file where the report's folder should be", "report", _file("reports"), "reports",
         "File exists", "remove what is in the way, or name another place"),
    Case("no room for a copy of the images", "data", _full("data"), "data/dataset", "1,000 bytes free",
         "free some space or use another disk"),
    Case("no room for the image cache", "image_cache", _full("data"), "data/image_cache", "1,000 bytes free",
         "free some space or use another disk"),
    Case("the disk is full while the encoder is written", "encoder", _limited(20_000), "encoder.safetensors",
         "File too large", LIMIT),
    Case("the disk is full while a training is kept", TRAIN, _limited(3_000), "state/checkpoints/train-abn-seed-0",
         "bytes of a training's state (File too large)", "name another folder by ALA_STATE"),
    Case("the disk is full while shards of maps are written", SCORE, _limited(500), "state/shards/explain-abn-seed-0",
         "bytes of finished work (File too large)", "name another folder by ALA_STATE"),
]  # fmt: skip


def _times(moment: float) -> Callable[[World], None]:
    """All files are of this moment."""

    def damage(world: World) -> None:
        for path in world.folder.rglob("*"):
            os.utime(path, (moment, moment))

    return damage


def _backwards(world: World) -> None:
    """The clock goes a day back at every look."""
    now = [time.time()]

    def look() -> float:
        now[0] -= 86_400
        return now[0]

    world.patch.setattr(time, "time", look)


def _same_model(world: World, _: str) -> None:
    """What a command with a sound clock writes, byte for byte."""
    written = (world / "models/abn/seed-0/weights.safetensors").read_bytes()
    assert world.run(f"{TRAIN} --out again").exit_code == 0
    assert (world / "again/abn/seed-0/weights.safetensors").read_bytes() == written


def _lockless(world: World) -> None:
    """No lock can be had on any disk."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    world.patch.setattr(fcntl, "flock", refuse)
    world.patch.setattr(fcntl, "lockf", refuse)


def _trained(world: World, said: str) -> None:
    assert "val accuracy" in said


ACCEPTED = [
    Accepted("files from the year 2100", TRAIN, _times(4_102_444_800), "no time decides about a result", _same_model),
    Accepted("files from 1970", TRAIN, _times(0), "no time decides about a result", _same_model),
    Accepted("a disk without file locks", TRAIN, _lockless, "no file is locked", _trained),
    Accepted("a clock that runs backwards", TRAIN, _backwards, "no time decides about a result", _same_model),
]  # fmt: skip
