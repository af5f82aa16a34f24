"""Which modules of the project a file imports, read from its syntax tree without running it; the stages of dvc.yaml."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


def dvc_stages() -> dict[str, dict[str, Any]]:
    """The stages of dvc.yaml by name, those of each seed as one; `seeded` says which these are."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return {
        name: stage.get("do", stage) | {"seeded": "matrix" in stage or "foreach" in stage}
        for name, stage in stages.items()
    }


def module_file(name: str) -> Path | None:
    """The file of `ala.x.y` or `stages.x`, relative to the project, or None for anything else."""
    base = Path(*name.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None


def imported_files(file: Path, deferred: bool = True) -> set[Path]:
    """Project files that `file` imports; with `deferred` also those imported inside functions."""
    tree = ast.parse((ROOT / file).read_text())
    nodes = ast.walk(tree) if deferred else iter(tree.body)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = {module_file(name) for name in names if name.split(".")[0] in {"ala", "stages"}}
    return {found for found in files if found is not None} - {file}
