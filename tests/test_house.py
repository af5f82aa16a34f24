"""The rules of the house that a test can tell: short files and functions, and no list of names that occurs twice.

Others are tests of their own: importing changes nothing (tests/utils/test_entry.py), each stage's `params` cover what
it reads (tests/test_dvc_params.py), parts import one way (tests/test_imports.py).
"""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache

import pytest

from ala import registry
from ala.contracts.explainer import trait
from tests.imports import ROOT

FILE_LINES, FUNCTION_LINES = 250, 60

#: Longer files, each with its reason and its own budget.
LONGER_FILES = {
    "ala/config/schema.py": 620,  # every setting in one place, as params.yaml has it
    "ala/data/birdlets/scenery.py": 275,  # five settings, a painter of each
}
LONGER_FUNCTIONS: dict[str, int] = {}

#: Words of other lists: names of random streams, and places of text in figures.
STREAMS = {"derive", "numpy_generator", "seed_everything", "torch_generator"}
PLACES = {"ha", "horizontalalignment", "loc", "va", "verticalalignment"}

#: The public names of the library, among them functions called like their method; and the parts that train networks.
#: Kinds of work in the ledger of a run are called like a method, too.
EXPORTS = re.compile(r"ala/(__init__|pipeline/amounts)\.py")
TRAINING = re.compile(r"(ala/(config|data|model|pipeline|training)|stages)/")


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


@pytest.mark.parametrize("kind", sorted(registry.KINDS))
def test_no_list_of_names_is_written_again(kind):
    """A literal that holds more than half of the names of one kind, and at least three, is such a list."""
    known, found = set(registry.names(kind)), []
    for file in CODE:
        for node in ast.walk(ast.parse(sources()[file])):
            if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
                inside = [one for one in ast.walk(node) if isinstance(one, ast.Constant)]
                held = {one.value for one in inside if isinstance(one.value, str)} & known
                if len(held) >= max(3, len(known) // 2 + 1):
                    found.append(f"{file}:{node.lineno}: {', '.join(sorted(held))}")
    assert not found, "params.yaml and the registry hold these names; read them from there"


@pytest.mark.parametrize("name", registry.names("explainers"))
def test_a_method_is_named_in_its_own_file_alone(name):
    """The word in quotes is in the method's own file; networks are named where they are trained as well."""
    own = re.compile(rf"ala/explainers/{name.replace('-', '_')}(\.py|/)")
    trained = trait(registry.find("explainers", name), "explains") == "own"
    found = []
    for file, text in sources().items():
        allowed = own.match(file) or EXPORTS.fullmatch(file) or (trained and TRAINING.match(file))
        if not allowed and name in quoted(file, text):
            found.append(file)
    assert not found, f"take {name} out of these files; what they need of a method, its class can say (TRAITS)"


def quoted(file: str, text: str) -> set[str]:
    """Strings of a file; of Python without names of random streams and places of text in figures."""
    if not file.endswith(".py"):
        return set(re.findall(r"""["']([\w-]+)["']""", text))
    tree = ast.parse(text)
    other: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in STREAMS:
            other |= {id(one) for argument in node.args for one in ast.walk(argument)}
        if isinstance(node, ast.keyword) and node.arg in PLACES:
            other |= {id(one) for one in ast.walk(node.value)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in other]
    return {node.value for node in constants if isinstance(node.value, str)}
