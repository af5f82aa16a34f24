"""Stage `foreign`: what a folder of maps that another program made holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.utils.errors import UserError, reported
from ala.utils.files import write_json
from stages import options

Name = Annotated[str, typer.Option(help="A key of `foreign` in params.yaml.")]
Out = Annotated[Path, typer.Option(help="NAME.json is written to this folder.")]


def main(name: Name, params: options.Params = options.PARAMS, out: Out = Path("data/inputs")) -> None:
    """Hash the maps of a folder, by which DVC knows that the cell of this name is to run again.

    Writes OUT/NAME.json, or, if anything is wrong, one sentence and nothing else (exit code 2).

    Example: python -m stages.foreign --name lisa
    """
    with reported():
        from ala.pipeline.foreign import digest

        given = load(params).foreign
        if name not in given:
            raise UserError(f"foreign: {name!r} is none of {', '.join(given) or 'no names'}; add it with its folder")
        folder = Path(given[name])
        write_json(out / f"{name}.json", {"maps_sha256": digest(folder)})
        print(f"{out / f'{name}.json'}: the maps of {folder}")


if __name__ == "__main__":
    typer.run(main)
