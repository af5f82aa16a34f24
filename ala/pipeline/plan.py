"""Estimate the cost of a run beforehand: the ledger of a finished run times how much more there is to do.

The ledger (:mod:`ala.utils.ledger`) holds the seconds of each kind of work in each cell of a finished run. A kind takes
as many times longer as the wanted profile asks more of it than the profile of that run (:mod:`ala.pipeline.amounts`).
What a process does once (its start, imports, loading) is not multiplied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from pydantic import ValidationError
from ruamel.yaml import YAML
from tabulate import tabulate

from ala.config.schema import Profile, Settings
from ala.pipeline.amounts import Images, amounts, count
from ala.utils import ledger
from ala.utils.errors import UserError

#: Ledgers that come with the project.
PUBLISHED = (Path("reports/provenance.json"), Path("docs/rehearsal/provenance.json"))
#: Seconds around a cell: start of Python, DVC's own work (docs/performance.md).
AROUND = 2.0
#: Settings that decide what a unit of work costs: a run serves a profile that agrees with its own in all of them.
UNIT_COST = attrgetter(
    "data.input_size", "encoder.options", "ala.sbn", "ala.attention", "ala.perception", "ala.lora",
    "abn.attention", "abn.perception", "train.augment", "rise.grid", "fcam.backbone", "fcam.input_size", "fcam.resize",
    "fcam.output_stride", "fcam.decoder_channels", "fcam.crf.scale",
)  # fmt: skip
#: Settings that change seconds or memory to a degree that a ledger does not show; the plan names those that differ.
ASIDE = ("engine.precision", "engine.compile", "train.precision", "train.batch", "metrics.batch", "rise.batch")


class Record(NamedTuple):
    """A finished cell: its entry in a ledger, the profile that it ran by, and which ledger that is."""

    entry: dict[str, Any]
    profile: Profile
    source: str


class Line(NamedTuple):
    """What all seeds of a cell do together; memory is of one process, or of its GPU."""

    cell: str
    cells: int
    seconds: float
    download_bytes: float
    disk_bytes: float
    memory_bytes: float


class Plan(NamedTuple):
    """Lines, the longest first; where their seconds are from; what is not known."""

    profile: str
    seeds: list[int]
    images: Images
    lines: list[Line]
    sources: list[str]
    unknown: list[str]

    @property
    def total(self) -> Line:
        """All cells one after another, and the seconds around them."""
        cells, seconds, download, disk = (sum(values) for values in list(zip(*self.lines, strict=True))[1:5])
        return Line("all", cells, seconds + AROUND * cells, download, disk, max(one.memory_bytes for one in self.lines))


def plan(settings: Settings, root: Path = Path()) -> Plan:
    """Estimate the cost of a run of the active profile in the project `root`, which holds dvc.yaml and the ledgers.

    Raises:
        UserError: no finished run has the networks of the profile, or its images cannot be counted.
    """
    wanted, folder = settings.active, settings.inputs.path("data")
    found, images = find(settings, root), count(wanted, folder)
    lines, used, unknown, missing = [], [], [], []
    for cell in cells(settings, root):
        records = found.get(cell, [])
        if not records:
            missing.append(cell)
            continue
        before = records[0].profile
        done, to_do = amounts(before, count(before, folder), cell), amounts(wanted, images, cell)
        growth = {kind: to_do[kind] / amount for kind, amount in done.items() if amount}
        line = estimate(cell, [one.entry for one in records], growth, len(settings.seeds))
        fetched = sum(archive.bytes for archive in wanted.data.downloads or ()) if folder is None else 0
        if cell == "data" and fetched:  # archives stay beside what is unpacked; images do not compress
            unknown.append("the seconds of downloading and unpacking")
            line = line._replace(download_bytes=fetched, disk_bytes=max(line.disk_bytes, 2 * fetched))
        lines.append(line)
        used += records
        unknown += [
            f"what {name} {was} -> {now} changes" for name in ASIDE
            if (was := attrgetter(name)(before)) != (now := attrgetter(name)(wanted))
        ]  # fmt: skip
    if missing:
        unknown.append(f"the seconds of {', '.join(missing)}, which no ledger has")
    lines.sort(key=lambda line: -line.seconds)
    sources = [f"{one.source}, on {one.entry['device']}, {one.entry['threads']} threads" for one in used]
    return Plan(settings.profile, settings.seeds, images, lines, sorted(set(sources)), list(dict.fromkeys(unknown)))


def cells(settings: Settings, root: Path) -> list[str]:
    """Name the cells of a run without their seeds: the stages of dvc.yaml, `score@METHOD` for each of `methods`."""
    stages = YAML(typ="safe").load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    items: dict[str, list[str]] = {
        "foreign": list(settings.foreign), "score": settings.methods, "extend": list(settings.extensions),
    }  # fmt: skip
    cells_of = {stage: [f"{stage}@{one}" for one in some] for stage, some in items.items()}
    return [cell for stage in stages for cell in cells_of.get(stage, [stage])]


def find(settings: Settings, root: Path) -> dict[str, list[Record]]:
    """Find records that serve the active profile, by cell: of each cell the seeds of one ledger, by equal settings.

    Runs on this machine come before published ones, and those of the same profile before those of others.

    Raises:
        UserError: there are none.
    """
    names = sorted((one.name for one in (root / ledger.FOLDER).glob("*/")), key=lambda name: name != settings.profile)
    ledgers = [(f"runs of the profile {name} on this machine", ledger.entries(root, name)) for name in names]
    ledgers += [(f"{path}, made on the machine that published it", published(root / path)) for path in PUBLISHED]
    found: dict[str, list[Record]] = {}
    for source, entries in ledgers:
        here: dict[str, list[Record]] = {}
        for entry in entries:
            try:
                profile = Profile.model_validate(entry["settings"])
            except (KeyError, ValidationError):
                continue  # of another version of the settings
            if _networks(profile) == _networks(settings.active):
                cell = re.sub(r"(?<=@)\d+-|[@-]\d+$", "", entry["stage"])  # score@rise-0: score@rise
                here.setdefault(cell, []).append(Record(entry, profile, source))
        for cell, records in here.items():
            found.setdefault(cell, [one for one in records if one.profile == records[-1].profile])
    if not found:
        seed = f"dvc exp run -S profile={settings.profile} -S 'seeds=[0]'"
        first = "make rehearsal" if settings.profile == "paper" else seed
        raise UserError(f"no finished run has the networks of the profile {settings.profile}; run one: {first}")
    return found


def _networks(profile: Profile) -> Any:
    encoder = profile.encoder.name.partition("/")[0]  # without the name of its weights
    return encoder.removesuffix("-quickgelu"), UNIT_COST(profile)  # the suffix tells which weights fit


def published(path: Path) -> list[dict[str, Any]]:
    """Read the records in a `provenance.json`; none if it does not exist.

    Raises:
        UserError: the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        return [{"settings": whole.get("settings"), "stage": stage, **cost} for stage, cost in whole["cost"].items()]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UserError(f"{path} is no ledger of a run; restore it (git checkout {path}) or remove it") from None


def estimate(cell: str, entries: list[dict[str, Any]], growth: Mapping[str, float], seeds: int) -> Line:
    """Estimate what all seeds of `cell` do together, from the `entries` of some seeds.

    Args:
        cell: its name without the seed.
        entries: of the ledger.
        growth: how much more there is to do, by the beginning of a kind's name.
        seeds: how many seeds there will be.
    """
    kinds: dict[str, list[dict[str, float]]] = {}
    rest = []  # seconds outside of all kinds
    for entry in entries:
        rest.append(entry["seconds"] - sum(spent["seconds"] for spent in entry["work"].values()))
        for kind, spent in entry["work"].items():
            kinds.setdefault(re.sub(r" seed \d+$", "", kind), []).append(spent)
    seconds = fmean(rest)
    for kind, spents in kinds.items():
        seconds += _seconds(spents, growth[max((name for name in growth if kind.startswith(name)), key=len)])
    number = seeds if "@" in entries[0]["stage"] else 1
    disk = fmean(entry.get("out_bytes", 0) for entry in entries) * growth["bytes"]
    memory = max(entry["peak_device_memory_mb"] or entry["peak_memory_mb"] or 0 for entry in entries) * 2**20
    return Line(cell, number, number * seconds, 0, number * disk, memory)


def _seconds(spents: list[dict[str, float]], growth: float) -> float:
    """Seconds of a kind of work in one cell when there is `growth` times as much of it to do.

    What a process does once is in the first part of a kind: it is what that part took beyond its share.
    """
    units, seconds, first_units, first_seconds = (
        sum(spent[key] for spent in spents) for key in ("units", "seconds", "first_units", "first_seconds")
    )
    if not units:
        return seconds / len(spents) * growth
    each = seconds / units
    if units > first_units:
        each = min(each, (seconds - first_seconds) / (units - first_units))
    most = max(spent["units"] for spent in spents)  # a cell that went on after a kill did fewer
    return (seconds - each * units) / len(spents) + each * most * growth


def table(made: Plan) -> str:
    """Format a plan: a row per cell in units of everyday life, then what its seconds are from and what is not known."""
    rows = [
        (line.cell, line.cells, str(timedelta(seconds=round(line.seconds))), f"{line.seconds / made.total.seconds:.0%}",
         *(f"{size / 1e6:,.0f} MB" for size in (line.download_bytes, line.disk_bytes, line.memory_bytes)))
        for line in (*made.lines, made.total)
    ]  # fmt: skip
    head = ("cell", "cells", "time", "share", "download", "disk", "memory")
    counts = ", ".join(f"{getattr(made.images, split):,} {split}" for split in ("train", "val", "test"))
    notes = [
        f"seconds are those of {'; '.join(made.sources)}",
        f"time is for one cell after another, in the last row with {AROUND:g} s around each (start of Python, DVC);"
        " a training that train.patience ends early takes less; downloads are without weights that timm or open_clip"
        " fetch",
        "memory is what one process of the ledger's run took; disk is without DVC's cache, which keeps a second copy"
        " where the file system cannot share one, and without state/, the half-done work of a run",
        *[f"not known: {what}" for what in made.unknown],
    ]
    title = f"profile {made.profile}, seeds {', '.join(map(str, made.seeds))}: {made.images.classes} classes, {counts}"
    body = tabulate(rows, head, colalign=("left", *["right"] * (len(head) - 1)), disable_numparse=True)
    return "\n".join([f"{title} images", "", body, "", *(f"* {note}" for note in notes)])
