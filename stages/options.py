"""Options that several stages share: defined, and explained to `--help`, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ala.config import load

if TYPE_CHECKING:
    from ala.pipeline.context import Context

Seed = Annotated[int, typer.Option(min=0, help="One of `seeds` in params.yaml.")]
Params = Annotated[Path, typer.Option(help="The settings; the profile they name is used.")]
Images = Annotated[Path, typer.Option(help="Images and masks by size, from the stage `image_cache`.")]
Models = Annotated[Path, typer.Option(help="encoder/ and one folder per trained model.")]
Maps = Annotated[Path, typer.Option(help="Saliency maps, CELL/seed-SEED/METHOD/.")]
Scores = Annotated[Path, typer.Option(help="Scores, CELL/seed-SEED/METHOD/.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]

#: What they are without a word on the command line.
PARAMS, IMAGES, MODELS = Path("params.yaml"), Path("data/image_cache"), Path("models")
MAPS, SCORES, DEVICE = Path("maps"), Path("scores"), "auto"


def context(
    params: Path, seed: int, device: str, images: Path = IMAGES, models: Path = MODELS, maps: Path = MAPS
) -> Context:
    """What the functions of :mod:`ala.pipeline` are given."""
    from ala.pipeline.context import Context
    from ala.utils.device import resolve

    return Context(load(params), seed, resolve(device), images, models, maps)
