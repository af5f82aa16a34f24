"""Stage `check`: check settings, the user's files and Git before any work begins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.utils.errors import reported
from ala.utils.files import write_text

Params = Annotated[Path, typer.Option(help="The settings.")]
Out = Annotated[Path, typer.Option(help="A line that is always the same, and the digest of a layout of your own.")]


def main(params: Params = Path("params.yaml"), out: Out = Path("data/inputs/checked")) -> None:
    """Find out in a second what the run would find out late, or DVC would say in words of its own.

    Reads all settings; looks for every explainer, metric and layout that they name, and at the files that inputs.data,
    inputs.encoder and inputs.fcam name, as far as the active profile reads them; asks Git whether it may be used here,
    which DVC needs at the end of a run.

    Writes OUT, or, if anything is wrong, one sentence and nothing else (exit code 2).

    Example: python -m stages.check
    """
    with reported():
        from ala.pipeline.check import check

        write_text(out, "checked\n" + check(load(params)))


if __name__ == "__main__":
    typer.run(main)
