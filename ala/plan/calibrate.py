"""Time one unit of each kind of work on this device, within a time budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ala.utils.errors import UserError
from ala.utils.progress import Advance

Kind = tuple[str, str]
#: Does about the given number of units and returns seconds per unit.
Timed = Callable[[int], float]

_GROWTH = 4  # each timing is this much longer than the one before, until the largest
_TURNS = 3  # of the largest one
_AT_ONCE = 0.1  # of the budget, for a longer timing of one kind
_BEGINNING = 2e9  # FLOPs of a first timing: short, but well above the overhead of a call
#: Kinds whose unit is the same forward pass of the same network; `perturb` may run in another precision.
_SAME = {"embed": "encode"}
#: Relative difference of FLOPs below which two kinds with the same verb count as the same work.
_ALIKE = 0.01


@dataclass(frozen=True)
class Job:
    """A kind of work to be timed.

    Attributes:
        kind: verb and model.
        units: number that the whole run needs; kinds with more work are timed earlier and longer.
        flops: of one unit; 0 where it is not counted, as of work on single images.
        smallest, largest: units of the shortest and of the longest timing.
        make: prepares the work; its time counts towards the calibration.
    """

    kind: Kind
    units: int
    flops: float
    smallest: int
    largest: int
    make: Callable[[], Timed]


@dataclass(frozen=True)
class Rate:
    """Seconds of one unit; `like` is the kind whose speed in FLOP/s was used, None if this kind was timed itself."""

    seconds: float
    like: Kind | None = None


class _Timing:
    """The timings of one job, each longer than the one before."""

    def __init__(self, job: Job) -> None:
        self.job, self.units, self.turns = job, _first(job), list[float]()
        self._timed = job.make()
        self.turn()

    @property
    def seconds(self) -> float:
        """Seconds of one unit: the shortest timing, which other work on the machine disturbed least."""
        return min(self.turns)

    @property
    def settled(self) -> bool:
        """Whether further timings would add no information."""
        return self.units == self.job.largest and len(self.turns) >= _TURNS

    @property
    def next(self) -> int:
        """The number of units of the next timing."""
        return min(self.job.largest, self.units * _GROWTH)

    def turn(self) -> None:
        """Run the next timing, with more units than before where possible."""
        if self.turns and self.next > self.units:
            self.units, self.turns = self.next, []
        self.turns.append(self._timed(self.units))


def calibrate(
    jobs: Iterable[Job], budget: float, clock: Callable[[], float] = time.perf_counter, advance: Advance | None = None
) -> dict[Kind, Rate]:
    """Time as many of `jobs` as `budget` seconds allow; estimate the others from those by their FLOPs.

    First each is tried briefly: work without FLOPs, which is short, then networks, those with most FLOPs in the whole
    run first. What is left of the budget goes into longer timings of what will take longest. A timing that would most
    likely end after the budget is not begun, so the budget is exceeded by the error of that guess at most; the first
    network is begun without a guess.

    Args:
        jobs: of different kinds.
        budget: seconds.
        clock: returns the time in seconds.
        advance: called with the number of finished kinds.

    Raises:
        UserError: nothing was timed from which the rest could be estimated.
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
    """Whether the job's next timing ends in time and leaves time for the others."""
    return timing.seconds * timing.next <= min(left, budget * _AT_ONCE)


def _rate(job: Job, timings: dict[Kind, _Timing], budget: float) -> Rate:
    twin = _twin(job, timings)
    return Rate(twin.seconds) if twin is not None else _by_flops(job, timings, budget)


def _twin(job: Job, timings: dict[Kind, _Timing]) -> _Timing | None:
    """Find the timing of `job`, or of one whose unit costs the same FLOPs on the same kind of network."""
    if job.kind in timings:
        return timings[job.kind]
    for timing in timings.values():
        other = timing.job
        alike = job.flops and abs(other.flops - job.flops) <= _ALIKE * job.flops
        if alike and _verb(other) == _verb(job) and (other.kind[1] == "fcam") == (job.kind[1] == "fcam"):
            return timing
    return None


def _expected(job: Job, timings: dict[Kind, _Timing]) -> float:
    """Estimate seconds of the shortest timing of `job` from the slowest network so far; 0 where nothing was timed."""
    paces = [one.seconds / one.job.flops for one in timings.values() if one.job.flops]
    return _first(job) * job.flops * max(paces, default=0.0)


def _first(job: Job) -> int:
    """Return the number of units of the first timing: small networks need many images for a meaningful one."""
    return min(job.largest, max(job.smallest, int(_BEGINNING / job.flops))) if job.flops else job.smallest


def _verb(job: Job) -> str:
    return _SAME.get(job.kind[0], job.kind[0])


def _trains(kind: Kind) -> bool:
    return kind[0].startswith(("train", "pretrain"))


def _by_flops(job: Job, timings: dict[Kind, _Timing], budget: float) -> Rate:
    """Scale the rate of the most similar timed job by FLOPs; similar in family, then verb, then FLOPs."""
    known = [one for one in timings.values() if one.job.flops]
    if not job.flops or not known:
        raise UserError(f"{budget:g} seconds are too few to time {' '.join(job.kind).strip()}; give --seconds 20")

    def unlike(one: _Timing) -> tuple[bool, bool, bool, float]:
        kind, ratio = one.job.kind, max(one.job.flops, job.flops) / min(one.job.flops, job.flops)
        return (_trains(kind) != _trains(job.kind), (kind[1] == "fcam") != (job.kind[1] == "fcam"),
                _verb(one.job) != _verb(job), ratio)  # fmt: skip

    nearest = min(known, key=unlike)
    return Rate(nearest.seconds * job.flops / nearest.job.flops, nearest.job.kind)
