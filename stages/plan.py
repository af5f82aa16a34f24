"""`make plan`: estimate the cost of a run of the profile beforehand. No stage of DVC."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.utils.errors import reported

Params = Annotated[Path, typer.Option(help="The settings; dvc.yaml and the ledgers lie beside them.")]
Name = Annotated[str, typer.Option("--profile", help="Another profile than the one that the settings name.")]
Json = Annotated[bool, typer.Option("--json", help="Print numbers for programs: seconds and bytes.")]


def main(params: Params = Path("params.yaml"), profile: Name = "", json: Json = False) -> None:
    """Tell what a run will cost: time, downloads, disk and memory, by cell of the pipeline.

    Seconds are those of a finished run of the same networks (on this machine, else one that is published with the
    project), times how much more there is to do. Nothing is computed, downloaded or written.

    Example: python -m stages.plan --profile paper
    """
    with reported():
        from ala.pipeline.plan import plan, table

        made = plan(load(params).with_profile(profile), params.resolve().parent)
        if json:
            lines = [line._asdict() for line in (*made.lines, made.total)]
            print(json_format.dumps({**made._asdict(), "images": made.images._asdict(), "lines": lines}, indent=2))
        else:
            print(table(made))


if __name__ == "__main__":
    typer.run(main)
