"""How long one unit of each kind of work takes on this device, found in a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ala.runtime.errors import UserError
from ala.runtime.progress import Advance

Kind = tuple[str, str]
#: Does about so many units; seconds per unit.
Timed = Callable[[int], float]

_GROWTH = 4  # each timing is this much longer than the one before, until the largest
_TURNS = 3  # of the largest one
_AT_ONCE = 0.1  # of the budget, for a longer timing of one kind
_BEGINNING = 2e9  # FLOPs of a first timing: a moment, and more than what a call costs by itself
#: Kinds whose unit is the same forward pass of the same network; `perturb` may run in another precision.
_SAME = {"embed": "encode"}
#: Relative difference of FLOPs below which two kinds of one verb are taken for the same work.
_ALIKE = 0.01


@dataclass(frozen=True)
class Job:
    """A kind of work to be timed.

    Attributes:
        kind: verb and model.
        units: how many the whole run needs; the more work, the earlier and the longer it is timed.
        flops: of one unit; 0 where it is not counted, as of work on single photos.
        smallest, largest: units of the shortest and of the longest timing.
        make: prepares the work; what it takes belongs to the calibration.
    """

    kind: Kind
    units: int
    flops: float
    smallest: int
    largest: int
    make: Callable[[], Timed]


@dataclass(frozen=True)
class Rate:
    """Seconds of one unit; `like` is the kind whose speed in FLOP/s it was taken from, None if it was timed itself."""

    seconds: float
    like: Kind | None = None


class _Timing:
    """The timings of one job, growing."""

    def __init__(self, job: Job) -> None:
        self.job, self.units, self.turns = job, _first(job), list[float]()
        self._timed = job.make()
        self.turn()

    @property
    def seconds(self) -> float:
        """Of one unit: the shortest of the turns is the one that other work on the machine disturbed least."""
        return min(self.turns)

    @property
    def settled(self) -> bool:
        """Whether further timings would tell nothing new."""
        return self.units == self.job.largest and len(self.turns) >= _TURNS

    @property
    def next(self) -> int:
        """Units of the next timing."""
        return min(self.job.largest, self.units * _GROWTH)

    def turn(self) -> None:
        """Time once more, and more units than before where that is possible."""
        if self.turns and self.next > self.units:
            self.units, self.turns = self.next, []
        self.turns.append(self._timed(self.units))


def calibrate(
    jobs: Iterable[Job], budget: float, clock: Callable[[], float] = time.perf_counter, advance: Advance | None = None
) -> dict[Kind, Rate]:
    """Time as many of `jobs` as `budget` seconds allow; take the others from those by their FLOPs.

    First each is tried briefly: work without FLOPs, which is short, then networks, those with most FLOPs in the whole
    run first. What is left of the budget goes into longer timings of what will take longest. A timing that would most
    likely end after the budget is not begun, so the budget is exceeded by the error of that guess at most; the first
    network is begun without a guess.

    Args:
        jobs: of different kinds.
        budget: seconds.
        clock: tells them.
        advance: told the number of kinds done.

    Raises:
        UserError: nothing was timed from which the rest could be told.
    """
    ends = clock() + budget
    jobs = sorted(jobs, key=lambda job: (job.flops > 0, -job.units * job.flops))
    timings: dict[Kind, _Timing] = {}
    for job in jobs:
        if _twin(job, timings) is None and (not job.flops or clock() + _expected(job, timings) < ends):
            timings[job.kind] = _Timing(job)
        if advance is not None:
            advance(1)

    def whole(timing: _Timing) -> float:
        return timing.job.units * timing.seconds

    while open_ := [one for one in timings.values() if not one.settled and _fits(one, ends - clock(), budget)]:
        max(open_, key=lambda one: whole(one) / len(one.turns) ** 2).turn()
    return {job.kind: _rate(job, timings, budget) for job in jobs}


def _fits(timing: _Timing, left: float, budget: float) -> bool:
    """Whether its next timing ends in time and leaves something for the others."""
    return timing.seconds * timing.next <= min(left, budget * _AT_ONCE)


def _rate(job: Job, timings: dict[Kind, _Timing], budget: float) -> Rate:
    twin = _twin(job, timings)
    return Rate(twin.seconds) if twin is not None else _by_flops(job, timings, budget)


def _twin(job: Job, timings: dict[Kind, _Timing]) -> _Timing | None:
    """The timing of `job`, or of one that does the same: its unit costs the same FLOPs, by the same kind of network."""
    if job.kind in timings:
        return timings[job.kind]
    for timing in timings.values():
        other = timing.job
        alike = job.flops and abs(other.flops - job.flops) <= _ALIKE * job.flops
        if alike and _verb(other) == _verb(job) and (other.kind[1] == "fcam") == (job.kind[1] == "fcam"):
            return timing
    return None


def _expected(job: Job, timings: dict[Kind, _Timing]) -> float:
    """Seconds of the shortest timing of `job`, by the slowest network so far; 0 where nothing is known."""
    paces = [one.seconds / one.job.flops for one in timings.values() if one.job.flops]
    return _first(job) * job.flops * max(paces, default=0.0)


def _first(job: Job) -> int:
    """Units of the shortest timing that is worth it: small networks have to be given many images."""
    return min(job.largest, max(job.smallest, int(_BEGINNING / job.flops))) if job.flops else job.smallest


def _verb(job: Job) -> str:
    return _SAME.get(job.kind[0], job.kind[0])


def _trains(kind: Kind) -> bool:
    return kind[0].startswith(("train", "pretrain"))


def _by_flops(job: Job, timings: dict[Kind, _Timing], budget: float) -> Rate:
    """The rate of the timed job most like `job`, scaled by FLOPs: of its family, its verb, and of nearly its FLOPs."""
    known = [one for one in timings.values() if one.job.flops]
    if not job.flops or not known:
        raise UserError(f"{budget:g} seconds are too few to time {' '.join(job.kind).strip()}; give --seconds 20")

    def unlike(one: _Timing) -> tuple[bool, bool, bool, float]:
        kind, ratio = one.job.kind, max(one.job.flops, job.flops) / min(one.job.flops, job.flops)
        return (_trains(kind) != _trains(job.kind), (kind[1] == "fcam") != (job.kind[1] == "fcam"),
                _verb(one.job) != _verb(job), ratio)  # fmt: skip

    nearest = min(known, key=unlike)
    return Rate(nearest.seconds * job.flops / nearest.job.flops, nearest.job.kind)
