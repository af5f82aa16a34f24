"""Stage `data`: the images and masks of the active profile, checked, and their index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.utils.errors import reported
from stages import options

Out = Annotated[Path, typer.Option(help="The data set: index.csv, classes.csv, images/, masks/.")]
Metrics = Annotated[Path, typer.Option(help="Numbers of images and classes, box areas, grey levels of the masks.")]
Downloads = Annotated[Path, typer.Option(help="Archives are looked for here first, and kept (source: download).")]


def main(
    params: options.Params = options.PARAMS,
    out: Out = Path("data/dataset"),
    metrics: Metrics = Path("data/metrics.json"),
    downloads: Downloads = Path("downloads"),
) -> None:
    """Draw, copy or download the images of the active profile, open every one, and write one checked folder.

    Reads profiles.PROFILE.data of the settings. Its `source` decides: `birdlets` draws the miniature, `folder` copies
    the data set that inputs.data names, `download` does so, too, or takes the archives that lie there, or fetches
    CUB-200-2011 (1.2 GB, verified by sha256). Its `layout` names the reader of the data set: `cub`, `folder`, or
    `package.module:Class` of your own (docs/protocols.md, Data layouts).

    Writes the data set and its metrics, or, if anything is wrong, one sentence and nothing else (exit code 2).

    Example: python -m stages.data --out data/dataset
    """
    with reported():
        from ala.pipeline.data import data

        facts = data(load(params), out, metrics, downloads)
        left_out = f", {len(facts.excluded):,} left out (data.exclude)" if facts.excluded else ""
        print(f"{facts.images:,} images of {facts.classes} classes in {out}{left_out}")


if __name__ == "__main__":
    typer.run(main)
