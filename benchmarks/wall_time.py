"""Where `make repro` spends its time: the environment and the whole pipeline in a fresh clone, stage by stage.

    python -m benchmarks.wall_time

Clones HEAD into a new folder, runs `make repro` there with an empty cache, and writes the seconds of each stage to
benchmarks/results/CORES-cores-wall-time.csv and into docs/performance.md, between two markers. What is shown for a
stage is the time from its start to the next one's, so it includes DVC's own work on it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from ala.report.readme import update


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


def main(
    clone: Annotated[Path | None, typer.Option(help="Where to clone to, and keep the clone.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/performance.md"),
) -> None:
    """Measure a cold run of HEAD."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = clone or Path(temporary) / "clone"
        subprocess.run(["git", "clone", "-q", ".", str(folder)], check=True)
        marks = run(folder)
    rows = [{"stage": name.split("@")[0], "seconds": after - before} for (name, before), (_, after) in pairwise(marks)]
    table = pd.DataFrame(rows).groupby("stage", sort=False)["seconds"].agg(cells="count", seconds="sum")
    table.loc["environment, before the first stage"] = [0, marks[0][1]]
    table.loc["all"] = [len(rows), marks[-1][1]]
    table = table.reset_index().astype({"cells": int}).round({"seconds": 1})
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / f"{os.cpu_count()}-cores-wall-time.csv", index=False)
    update(page, table.to_markdown(index=False), "wall time")
    typer.echo(table.to_string(index=False))


if __name__ == "__main__":
    typer.run(main)
