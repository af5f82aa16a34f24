"""The rules of the house that a test can tell: short files and functions, and no list of names that stands twice.

Others are tests of their own: importing changes nothing (tests/utils/test_entry.py), each stage's `params` cover what it
reads (tests/test_dvc_params.py), parts import one way (tests/test_imports.py).
"""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from ala import registry
from tests.imports import ROOT

FILE_LINES, FUNCTION_LINES = 250, 60

#: Longer files, each with its reason and its own budget.
LONGER_FILES = {
    "ala/config/schema.py": 560,  # every setting in one place, as params.yaml has it
}
LONGER_FUNCTIONS: dict[str, int] = {}

#: Where names of methods may stand as data: what the paper claims and shows of its own methods.
DATA = re.compile(r"ala/report/\w+\.yaml")


@cache
def sources() -> dict[str, str]:
    """The text of all code and templates, by file."""
    listed = subprocess.run(["git", "ls-files", "ala", "stages"], cwd=ROOT, check=True, capture_output=True, text=True)
    files = [name for name in listed.stdout.split() if name.endswith((".py", ".j2", ".js", ".css"))]
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in files if (ROOT / name).exists()}


CODE = [name for name in sources() if name.endswith(".py")]


def lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


@pytest.mark.parametrize("file", CODE)
def test_files_and_functions_are_short(file):
    text = sources()[file]
    assert lines(text) <= LONGER_FILES.get(file, FILE_LINES), f"split {file}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            code = lines("\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno]))
            documented = lines(ast.get_docstring(node) or "")
            budget = LONGER_FUNCTIONS.get(f"{file}:{node.name}", FUNCTION_LINES)
            assert code - documented <= budget, f"split {node.name} of {file}"


def test_exceptions_are_needed():
    for file, budget in LONGER_FILES.items():
        assert FILE_LINES < lines(sources()[file]) <= budget, f"{file} needs no exception, or another budget"


def names(kind: str) -> set[str]:
    """What params.yaml and the registry call the explainers, metrics, layouts and executors."""
    found = set(registry.names(kind))
    if kind == "explainers":
        settings = yaml.safe_load((ROOT / "params.yaml").read_text())
        found |= {name for cell in settings["methods"] for name in cell.split("+")}
    return found


@pytest.mark.parametrize("kind", sorted(registry.KINDS))
def test_no_list_of_names_is_written_again(kind):
    """A literal that holds two names of one kind is such a list."""
    known, found = names(kind), []
    for file in CODE:
        for node in ast.walk(ast.parse(sources()[file])):
            if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
                inside = [one for one in ast.walk(node) if isinstance(one, ast.Constant)]
                held = {one.value for one in inside if isinstance(one.value, str)} & known
                if len(held) > 1:
                    found.append(f"{file}:{node.lineno}: {', '.join(sorted(held))}")
    assert not found, "params.yaml and the registry hold these names; read them from there"


def test_a_method_is_named_in_its_own_file_alone():
    """`git grep '"rise"'` finds the file of RISE; names of trained networks stand where they are trained as well."""
    found = []
    for name in names("explainers"):
        own = re.compile(rf"ala/explainers/{name.replace('-', '_')}(\.py|/)")
        for file, text in sources().items():
            quoted = re.search(rf"""["']{re.escape(name)}["']""", text)
            if quoted and not own.match(file) and not DATA.match(file):
                found.append(f"{file}: {quoted.group()}")
    assert not found
