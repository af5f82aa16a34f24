"""Combine counts, FLOPs, bytes and rates into one line per stage and their sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ala.plan.calibrate import Kind, Rate
from ala.plan.work import COUNTED, ONCE, Work

#: Seconds of a unit of work that cannot be timed in advance, measured on two CPU cores.
ASSUMED = {("report", ""): 0.04, ("list", ""): 1e-4}
#: Overhead of a cell in seconds (Python's start, DVC's own work), measured on two CPU cores (docs/performance.md).
AROUND = 2.0


@dataclass(frozen=True)
class Line:
    """The cost of all cells of a stage together.

    Attributes:
        stage: its name.
        cells: how many.
        forwards: forward passes that the ledger counts.
        flops: of networks, training included.
        download_bytes, disk_bytes: bytes downloaded, and bytes left on disk.
        memory_bytes: at most, of one process; where the device is a GPU, of its memory.
        seconds: estimated wall time.
        timed: the share of `seconds` based on a timing of the same work; the rest is by FLOPs or assumed.
    """

    stage: str
    cells: int
    forwards: int
    flops: float
    download_bytes: int
    disk_bytes: int
    memory_bytes: int
    seconds: float
    timed: float


def lines(
    work: list[Work],
    seeds: int,
    flops: Mapping[Kind, float],
    rates: Mapping[Kind, Rate],
    *,
    downloads: Mapping[str, int],
    disk: Mapping[str, int],
    memory: Mapping[str, int],
    process: int,
) -> list[Line]:
    """Estimate one line per stage, in the order of `work`.

    Args:
        work: of one cell of every stage.
        seeds: cells of the stages that are run for each seed.
        flops: of a unit of each kind; a kind that is missing has none.
        rates: seconds of a unit of each kind.
        downloads: bytes by stage, downloaded once for all cells.
        disk: bytes by stage, of one cell.
        memory: bytes by stage, beyond `process`.
        process: bytes of a process after its imports; 0 for the memory of a GPU.
    """
    found = []
    for stage in dict.fromkeys(one.stage for one in work):
        cells = 1 if stage in ONCE else seeds
        own = [one for one in work if one.stage == stage]
        total = sum(one.units * _rate(one.kind, rates) for one in own)
        timed = [one for one in own if one.kind in rates and rates[one.kind].like is None]
        sure = sum(one.units * _rate(one.kind, rates) for one in timed)
        found.append(Line(
            stage=stage, cells=cells,
            forwards=cells * sum(one.units for one in own if one.verb in COUNTED),
            flops=cells * sum(one.units * flops.get(one.kind, 0.0) for one in own),
            download_bytes=downloads.get(stage, 0), disk_bytes=cells * disk.get(stage, 0),
            memory_bytes=process + memory.get(stage, 0),
            seconds=cells * total, timed=sure / total if total else 1.0,
        ))  # fmt: skip
    return found


def total(found: list[Line]) -> Line:
    """Sum all stages, run one after another, with the overhead of their cells."""
    cells, work = sum(line.cells for line in found), sum(line.seconds for line in found)
    return Line(
        stage="all", cells=cells, forwards=sum(line.forwards for line in found),
        flops=sum(line.flops for line in found), download_bytes=sum(line.download_bytes for line in found),
        disk_bytes=sum(line.disk_bytes for line in found), memory_bytes=max(line.memory_bytes for line in found),
        seconds=work + AROUND * cells,
        timed=sum(line.seconds * line.timed for line in found) / (work + AROUND * cells),
    )  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """An estimate with the settings and the device that it is for.

    Attributes:
        profile: its name.
        device: its name and number of threads.
        seeds: of the run.
        photos: numbers by split, and of classes.
        calibration_seconds: duration of the calibration.
        stages: one line each.
        kinds: seconds of a unit of each kind of work, and their source.
    """

    profile: str
    device: str
    seeds: list[int]
    photos: dict[str, int]
    calibration_seconds: float
    stages: list[Line]
    kinds: dict[Kind, Rate]

    def as_json(self) -> dict[str, Any]:
        """Return the content of `--json`: numbers in seconds, bytes and FLOPs."""
        kinds = [
            {"kind": " ".join(kind).strip(), "seconds": rate.seconds,
             "like": None if rate.like is None else " ".join(rate.like).strip()}
            for kind, rate in sorted(self.kinds.items())
        ]  # fmt: skip
        return {
            "profile": self.profile, "device": self.device, "seeds": self.seeds, "photos": self.photos,
            "calibration_seconds": self.calibration_seconds, "around_cell_seconds": AROUND,
            "stages": [asdict(line) for line in self.stages], "all": asdict(total(self.stages)), "kinds": kinds,
        }  # fmt: skip


def _rate(kind: Kind, rates: Mapping[Kind, Rate]) -> float:
    return rates[kind].seconds if kind in rates else ASSUMED[kind]
