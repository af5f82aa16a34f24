"""Stage `report`: tables, figures and a page from the scores of all methods and seeds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.utils.errors import UserError, reported

Params = Annotated[Path, typer.Option(help="The settings; they say which methods and seeds belong to the run.")]
Scores = Annotated[Path, typer.Option(help="Scores by cell of methods, CELL/seed-SEED/METHOD/.")]
Models = Annotated[Path, typer.Option(help="Training curves and the encoder's zero-shot accuracy.")]
Maps = Annotated[Path, typer.Option(help="Maps for the gallery.")]
Data = Annotated[Path, typer.Option(help="metrics.json, splits/, image_cache/ and dataset/reflections.txt.")]
Out = Annotated[Path, typer.Option(help="tables/, figures/, curves/, metrics.json and report.md are replaced in here.")]
Readme = Annotated[Path | None, typer.Option(help="Only put the main table between the markers of this README.")]


def main(
    params: Params = Path("params.yaml"),
    scores: Scores = Path("scores"),
    models: Models = Path("models"),
    maps: Maps = Path("maps"),
    data: Data = Path("data"),
    out: Out = Path("reports"),
    readme: Readme = None,
) -> None:
    """Make the report: tables beside the slides' values, claims with verdicts, figures, a gallery, report.md.

    Reads what the other stages wrote. A method or seed that was not run stays visible as `not run`; nothing is averaged
    silently, and what is missing is listed at the end of report.md.

    Example: python -m stages.report            (writes reports/)
    Example: python -m stages.report --readme README.md            (updates the README's main table, nothing else)
    """
    with reported():
        from ala.report.gather import gather

        run = gather(load(params), scores, models, data, maps)
        if not run.summaries:
            raise UserError(f"{scores} holds no scores of the methods in {params}; run `dvc repro` first")
        if readme is not None:
            from ala.report.readme import main_table, update

            print(f"{readme}: {'updated' if update(readme, main_table(run)) else 'already up to date'}")
            return
        from ala.report.build import Folders, build

        build(run, Folders(data, models, maps, scores), out)
        for note in run.notes:
            print(f"note: {note}", file=sys.stderr)
        print(f"{out / 'report.md'}: {len(run.summaries)} method-seed pairs")


if __name__ == "__main__":
    typer.run(main)
