"""Where `make repro` spends its time: the environment and the whole pipeline in a fresh clone, stage by stage.

    python -m benchmarks.wall_time

Clones HEAD into a new folder, runs `make repro` there with an empty cache, and writes the seconds of each stage to
benchmarks/results/CORES-cores-wall-time.csv and into docs/performance.md, between two markers. What is shown for a
stage is its own work, as its ledger tells (:mod:`ala.utils.ledger`). What is left of the time from one cell's start
to the next one's, Python's start and what DVC does before and after, has a row of its own.

The last row is what this machine reaches in large float32 matrix products on all cores, in GFLOP/s.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from ala.report.readme import update
from ala.utils.errors import UserError, reported
from ala.utils.ledger import FOLDER, entries

AROUND = "around the cells: start of Python, DVC"
BEFORE = "environment, before the first stage"
PEAK = "float32 matrix products"


def run(folder: Path) -> list[tuple[str, float]]:
    """Run `make repro` in `folder`; the stages in order, each with the seconds after which it began, and the end."""
    began, marks = time.monotonic(), []
    with subprocess.Popen(
        ["make", "repro"], cwd=folder, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            found = re.search(r"Running stage '([^']+)'", line)
            if found:
                marks.append((found[1], time.monotonic() - began))
    if process.returncode:
        raise typer.Exit(process.returncode)
    return [*marks, ("end", time.monotonic() - began)]


def peak(size: int = 2048, turns: int = 8) -> float:
    """GFLOP/s of float32 matrix products of `size` x `size`, the fastest of some."""
    import torch

    one, other = torch.randn(2, size, size)
    taken = []
    for _ in range(turns):
        began = time.perf_counter()
        one @ other
        taken.append(time.perf_counter() - began)
    return 2 * size**3 / min(taken) / 1e9


def table(marks: list[tuple[str, float]], work: dict[str, float], fastest: float) -> pd.DataFrame:
    """Columns `stage, cells, seconds, gflop_per_s`, the last for the peak alone.

    One row per stage, then what lies around the cells, before them, all, and the peak.

    Args:
        marks: from :func:`run`, cells named `STAGE` or `STAGE@SEED`.
        work: seconds of each cell's own work.
        fastest: from :func:`peak`.

    Raises:
        UserError: a cell left no record of its work.
    """
    cells = [name for name, _ in marks[:-1]]
    lost = [name for name in cells if name not in work]
    if lost:
        raise UserError(
            f"{FOLDER} has no record of {', '.join(lost)}; was its command ended from outside? run it again"
        )
    own = pd.DataFrame({"stage": [name.split("@")[0] for name in cells], "seconds": [work[name] for name in cells]})
    rows = own.groupby("stage", sort=False)["seconds"].agg(cells="count", seconds="sum")
    began, ended = marks[0][1], marks[-1][1]
    rows.loc[AROUND] = [len(cells), ended - began - own["seconds"].sum()]
    rows.loc[BEFORE] = [0, began]
    rows.loc["all"] = [len(cells), ended]
    rows.loc[PEAK, "gflop_per_s"] = fastest
    return rows.reset_index().astype({"cells": "Int64"}).round({"seconds": 1, "gflop_per_s": 0})


def main(
    clone: Annotated[Path | None, typer.Option(help="Where to clone to, and keep the clone.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/performance.md"),
) -> None:
    """Measure a cold run of HEAD."""
    with reported():
        with tempfile.TemporaryDirectory() as temporary:
            folder = clone or Path(temporary) / "clone"
            subprocess.run(["git", "clone", "-q", ".", str(folder)], check=True)
            marks = run(folder)
            work = {str(entry["stage"]): float(entry["seconds"]) for entry in entries(folder)}
            found = table(marks, work, peak())
        out.mkdir(parents=True, exist_ok=True)
        found.to_csv(out / f"{os.cpu_count()}-cores-wall-time.csv", index=False)
        update(page, found.astype(object).fillna("").to_markdown(index=False), "wall time")
        typer.echo(found.to_string(index=False))


if __name__ == "__main__":
    typer.run(main)
