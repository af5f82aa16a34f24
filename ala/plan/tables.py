"""Format an estimate as text."""

from __future__ import annotations

from tabulate import tabulate

from ala.plan.estimate import AROUND, Estimate, Line, total

HEAD = ["stage", "cells", "forward passes", "FLOPs", "download", "disk", "memory", "time", "timed"]


def table(estimate: Estimate) -> str:
    """Format one row per stage and one for their sum, with times and sizes in readable units."""
    rows = [_row(line) for line in (*estimate.stages, total(estimate.stages))]
    return tabulate(rows, HEAD, colalign=("left", *["right"] * (len(HEAD) - 1)), disable_numparse=True)


def notes(estimate: Estimate) -> list[str]:
    """List what the table does not say, one sentence each."""
    scaled = sorted(" ".join(kind).strip() for kind, rate in estimate.kinds.items() if rate.like is not None)
    found = [
        f"calibrated in {estimate.calibration_seconds:.0f} s; downloads take no time here,"
        f" {AROUND:g} s around each cell (start of Python, DVC) are in the last row",
        "time is for all cells one after another; a training that ends early (train.patience) takes less",
        "disk is without DVC's cache, which keeps a second copy where the file system cannot share one",
    ]
    if scaled:
        found.append(f"not timed but told from similar work by FLOPs: {', '.join(scaled)}")
    return found


def duration(seconds: float) -> str:
    """Format seconds with at most two units: `0.4 s`, `12 s`, `3 min 20 s`, `5 h 10 min`, `12 d 3 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = round(whole % length / part)
            if rest * part == length:  # 59.6 min are an hour
                return f"{whole // length + 1} {unit}"
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def amount(number: float, unit: str = "") -> str:
    """Format a number with a letter for its power of 1,000: `1.2 GB`, `81 T`, `0`."""
    if not number:
        return "-"
    for letter in ("", "k", "M", "G", "T", "P", "E"):
        if number < 999.5 or letter == "E":
            break
        number /= 1000
    digits = 0 if number >= 9.95 or (not letter and number == int(number)) else 1
    return f"{number:.{digits}f} {letter}{unit}".rstrip()


def _row(line: Line) -> list[str]:
    return [
        line.stage, str(line.cells), f"{line.forwards:,}" if line.forwards else "-", amount(line.flops),
        amount(line.download_bytes, "B"), amount(line.disk_bytes, "B"), amount(line.memory_bytes, "B"),
        duration(line.seconds), f"{line.timed:.0%}",
    ]  # fmt: skip
