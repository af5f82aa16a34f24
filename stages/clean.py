"""`make clean` and `make clean-state`: remove what stages wrote, nothing beside it. No stage of DVC."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
import yaml

from ala.config import load
from ala.config.schema import EXTENSIONS
from ala.utils.checkpoint import checkpoints, state_folder
from ala.utils.errors import reported

State = Annotated[bool, typer.Option("--state", help="Only the half-done work of interrupted runs.")]

#: What the variables of dvc.yaml can be within the path of an out, as regular expressions; entries of `methods` and
#: names of `foreign` are in params.yaml.
VARIABLES = {"item": r"\d+", "item.seed": r"\d+", "item.extension": "|".join(EXTENSIONS)}

#: What runs leave below `state`, beside half-done work.
RECORDS = "ledger/**/*.json"
SHARDS = f"shards/*/{'[0-9a-f]' * 32}.npz"


def main(state: State = False) -> None:
    """Remove the outs of all stages in dvc.yaml, of any seed, and what runs keep below `state`; folders that are empty
    then go, too. The cache of DVC, the report, downloads and all other files stay.

    Example: python -m stages.clean
    """
    with reported():
        kept = state_folder()
        found = [*checkpoints(kept), *sorted(kept.glob(SHARDS))]
        if not state:
            found += sorted(Path("state").glob(RECORDS))
            found += outs(Path())
        for path in found:
            remove(path)
        for folder in {
            *(kept / name for name in ("checkpoints", "shards")),
            *(path.parent for path in found),
        }:
            _remove_empty(folder)
        print(f"removed {len(found)} outs, records and half-done works" if found else "nothing to remove")


def outs(project: Path) -> list[Path]:
    """What exists of the outs that dvc.yaml names, without those that Git keeps (`cache: false`)."""
    settings = load(project / "params.yaml")
    named = {"item.methods": settings.methods, "key": list(settings.foreign)}
    variables = VARIABLES | {name: "|".join(map(re.escape, values)) or "(?!)" for name, values in named.items()}
    stages = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    patterns = [out for stage in stages.values() for out in stage.get("do", stage)["outs"] if isinstance(out, str)]
    return [path for pattern in dict.fromkeys(patterns) for path in _matching(project, pattern, variables)]


def _matching(project: Path, pattern: str, variables: dict[str, str]) -> Iterator[Path]:
    names = re.split(r"\$\{([\w.]+)\}", pattern)  # text, variable, text, variable, ..., text
    parts = [f"(?:{variables[part]})" if at % 2 else re.escape(part) for at, part in enumerate(names)]
    wanted = re.compile("".join(parts))
    for path in sorted(project.glob("*".join(names[::2]))):
        if wanted.fullmatch(path.relative_to(project).as_posix()):
            yield path


def remove(path: Path) -> None:
    """Remove a file, a folder, or a link, of which what it points to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    """Remove `folder` and those above it, as long as they are empty, lie in the project and are no links."""
    while folder != Path() and not folder.is_absolute() and not folder.is_symlink():
        with suppress(FileNotFoundError):
            try:
                folder.rmdir()
            except OSError:  # something else lies in it
                return
        folder = folder.parent


if __name__ == "__main__":
    typer.run(main)
