"""Imports point one way (docs/architecture.md): a part may import the parts below it and nothing above."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.imports import ROOT, imported_files

#: From the bottom up. Parts of one line may not import each other.
LEVELS = [
    {"utils"}, {"config", "contracts", "registry"}, {"data"}, {"encoders"}, {"model"}, {"training", "perturbation"},
    {"explainers", "metrics"}, {"pipeline"}, {"report", "testing"},
]  # fmt: skip
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}
LEVEL["training/loop"] = LEVEL["data"]  # knows no network: every part that trains one uses it
FILES = sorted(path.relative_to(ROOT) for path in (ROOT / "ala").rglob("*.py"))


def part(file: Path) -> str:
    one = "/".join(file.parts[1:3]).removesuffix(".py")
    return one if one in LEVEL else file.parts[1].removesuffix(".py")


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_imports_only_what_lies_below(file):
    if file == Path("ala/__init__.py"):
        return  # the public names come from every part
    assert part(file) in LEVEL
    for imported in imported_files(file):
        assert imported.parts[0] == "ala", f"{file} imports {imported}: the library must not know its stages"
        if imported == Path("ala/__init__.py") or part(imported) == part(file):
            continue
        assert LEVEL[part(imported)] < LEVEL[part(file)], f"{file} imports {imported}"


@pytest.mark.parametrize("file", [*FILES, *(p.relative_to(ROOT) for p in (ROOT / "stages").glob("*.py"))], ids=str)
def test_nobody_imports_a_private_name(file):
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ala":
            private = [alias.name for alias in node.names if alias.name.startswith("_")]
            assert not private, f"{file} imports {private} from {node.module}"


def test_only_the_settings_loader_reads_params():
    readers = [file for file in FILES if "params.yaml" in (ROOT / file).read_text() and part(file) != "config"]
    code = [file for file in readers if '"params.yaml"' in (ROOT / file).read_text()]
    assert code == []
