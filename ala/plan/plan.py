"""Make an estimate from settings: count work, count FLOPs, calibrate, combine."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from functools import partial

import torch

from ala.config.schema import Profile, Settings
from ala.plan import sizes
from ala.plan.calibrate import Job, Kind, Rate, Timed, calibrate
from ala.plan.estimate import ASSUMED, Estimate, lines
from ala.plan.flops import META, Cost, counted
from ala.plan.models import Models
from ala.plan.network_work import largest, network_work, smallest
from ala.plan.photo_work import photo_work
from ala.plan.photos import count
from ala.plan.work import Work, model_of, stages
from ala.utils.progress import progress, track

_COUNTED_AT = 2  # images, enough for BatchNorm; everything is proportional


def make(
    settings: Settings,
    device: torch.device,
    seconds: float,
    imports: Mapping[str, float],
    given: tuple[int, int, int] | None = None,
) -> Estimate:
    """Make the estimate for the active profile on `device`.

    Args:
        settings: all of them.
        device: of the run.
        seconds: of the calibration, at most.
        imports: seconds that the libraries of :data:`ala.plan.work.IMPORTS` take to import.
        given: see :func:`ala.plan.photos.count`.

    Raises:
        UserError: the images cannot be counted, the settings do not fit together, or `seconds` is too short.
    """
    profile, photos = settings.active, count(settings.active.data, given, settings.inputs.path("data"))
    process = 0 if device.type == "cuda" else _process_bytes()
    work = stages(settings, photos)
    shapes = Models(profile, photos.classes, META)
    costs = count_flops(work, profile, shapes)
    units: dict[Kind, int] = {}
    for one in work:
        units[one.kind] = units.get(one.kind, 0) + one.units

    began = time.perf_counter()
    models = Models(profile, photos.classes, device)
    jobs = [job(kind, n, costs.get(kind), profile, models) for kind, n in units.items()
            if kind not in ASSUMED and kind[0] != "start"]  # fmt: skip
    with progress(len(jobs), "calibration", unit="kind") as advance:
        rates = calibrate(jobs, seconds, advance=advance)
    took = time.perf_counter() - began
    rates |= {("start", what): Rate(taken) for what, taken in imports.items()}
    return Estimate(
        profile=settings.profile, device=described(device), seeds=list(settings.seeds), photos=vars(photos).copy(),
        calibration_seconds=took, kinds=rates,
        stages=lines(
            work, len(settings.seeds), {kind: cost.each for kind, cost in costs.items()}, rates,
            downloads=sizes.downloads(profile, shapes, settings.inputs), process=process,
            disk=sizes.disk(profile, photos, shapes, model_of(settings.main_variant, profile), settings.inputs),
            memory=sizes.memory(profile, photos, shapes, work, costs),
        ),
    )  # fmt: skip


def count_flops(work: list[Work], profile: Profile, shapes: Models) -> dict[Kind, Cost]:
    """Count FLOPs and activations of each kind of work with a network; `shapes` are on `meta`."""
    found: dict[Kind, Cost] = {}
    for kind in track(list(dict.fromkeys(one.kind for one in work)), "counting FLOPs", unit="kind"):
        if kind[0] == "start":
            continue
        same = ("perturb", kind[1])  # the same network on the same images
        if kind[0] in ("rise", "look") or (kind[0] == "explain" and kind[1] != "fcam"):
            cost = found[same] if same in found else counted(same, profile, shapes, _COUNTED_AT)
        else:
            cost = counted(kind, profile, shapes, _COUNTED_AT)
        if cost is not None:
            found[kind] = cost
    return found


def job(kind: Kind, units: int, cost: Cost | None, profile: Profile, models: Models) -> Job:
    """Make the job that times `kind`, of which the whole run needs `units`."""
    if cost is not None:
        return Job(kind, units, cost.each, smallest(kind), largest(kind, profile),
                   partial(network_work, kind, profile, models))  # fmt: skip
    return Job(kind, units, 0.0, 1, 8, partial(_photo_timing, kind[0], profile, models.device))


def described(device: torch.device) -> str:
    """Return the device's name; of a CPU its model, if known, and the number of torch threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_cpu_name()}, {torch.get_num_threads()} threads"


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - not a file of this project
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return "CPU"


def _photo_timing(verb: str, profile: Profile, device: torch.device) -> Timed:
    known = photo_work(verb, profile, device)
    assert known is not None, verb
    run, together = known

    def timed(n: int) -> float:
        began = time.perf_counter()
        run(n)
        return (time.perf_counter() - began) / n / together

    return timed


def _process_bytes() -> int:
    """Return the peak resident memory of this process, which so far has only imported libraries."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
