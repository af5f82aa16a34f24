"""How far `make plan` is off: its estimate beside the seconds of the committed run, stage by stage.

    python -m benchmarks.plan

Makes the plan of the profile in params.yaml on this machine, which must be the one that reports/provenance.json comes
from and have nothing else to do, and writes benchmarks/results/ENVIRONMENT-plan.csv and the table in
docs/performance.md. The stage `report` writes the ledger's summary and is not in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from ala.utils.errors import UserError, reported


def table(lines: list[dict[str, Any]], real: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Columns `stage, cells, estimated_s, real_s, ratio`: one row per stage that left a record, then `all` of them.

    Args:
        lines: of the plan's JSON, keys `stage`, `cells` and `seconds`.
        real: what each cell cost, by its name `STAGE` or `STAGE@SEED`, key `seconds`.

    Raises:
        UserError: a stage has another number of cells in the plan, so the two are not of the same run.
    """
    rows = []
    for line in lines:
        cells = [cost["seconds"] for name, cost in real.items() if name.split("@")[0] == line["stage"]]
        if cells and len(cells) != line["cells"]:
            raise UserError(
                f"the plan has {line['cells']} cells of {line['stage']}, reports/provenance.json has {len(cells)};"
                " plan for the seeds of that run"
            )
        if cells:
            rows.append((line["stage"], len(cells), line["seconds"], sum(cells)))
    found = pd.DataFrame(rows, columns=["stage", "cells", "estimated_s", "real_s"])
    found.loc[len(found)] = ["all", *found[["cells", "estimated_s", "real_s"]].sum()]
    return found.assign(ratio=found["estimated_s"] / found["real_s"]).round({"estimated_s": 1, "real_s": 1, "ratio": 2})


def main(
    params: Annotated[Path, typer.Option(help="The settings; the profile they name is planned.")] = Path("params.yaml"),
    real: Annotated[Path, typer.Option(help="What the run cost.")] = Path("reports/provenance.json"),
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/performance.md"),
    seconds: Annotated[float, typer.Option(help="Of the calibration.")] = 20,
) -> None:
    """Plan, compare, write the table."""
    with reported():
        command = [sys.executable, "-m", "stages.plan", "--json", "--params", str(params), "--seconds", str(seconds)]
        made = subprocess.run(command, stdout=subprocess.PIPE, text=True)  # imports are timed: a process of its own
        if made.returncode:
            raise typer.Exit(made.returncode)
        estimate = json.loads(made.stdout)

        from ala.report.readme import update
        from ala.utils.device import resolve
        from benchmarks.perturbation import environment

        found = table(estimate["stages"], json.loads(real.read_text(encoding="utf-8"))["cost"])
        out.mkdir(parents=True, exist_ok=True)
        found.to_csv(out / f"{environment(resolve())}-plan.csv", index=False)
        update(page, found.to_markdown(index=False), "plan")
        typer.echo(found.to_string(index=False))


if __name__ == "__main__":
    typer.run(main)
