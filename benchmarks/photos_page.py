"""Put the tables of a finished run of the profile `photos` into docs/results-photos.md.

    dvc exp run -S profile=photos ... && python -m benchmarks.photos_page --minutes 19.5

Only what is between the two markers is replaced.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.report.readme import update

PACKAGES = ("torch", "timm", "open_clip_torch", "dvc")


def section(path: Path) -> str:
    """A table's page with its headings one level down, without the commands, which name this run's cells."""
    text = path.read_text(encoding="utf-8").split("\n## Make a row again", 1)[0].strip()
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in text.splitlines())


def main(
    minutes: Annotated[float, typer.Option(help="Wall time of the run, as `time` gave it.")],
    tables: Annotated[Path, typer.Option(help="Tables of the run.")] = Path("reports/tables"),
    page: Annotated[Path, typer.Option(help="The page.")] = Path("docs/results-photos.md"),
) -> None:
    """Replace the generated part of the page."""
    settings = load()
    if settings.profile != "photos":
        raise typer.BadParameter(f"params.yaml names the profile {settings.profile}; the page is about images")
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    parts = [
        f"{minutes:.0f} minutes (`time`, wall) on 2 CPU cores, {platform.system()}, Python"
        f" {platform.python_version()}, {versions}; float32.",
        *(section(tables / name) for name in ("main.md", "ablation.md")),
    ]
    update(page, "\n\n".join(parts), "tables")


if __name__ == "__main__":
    typer.run(main)
