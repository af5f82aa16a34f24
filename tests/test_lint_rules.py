"""The linter refuses what could run somebody else's code: each rule fires on a line that breaks it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest

from tests.imports import ROOT

BAD = {
    "S102": "exec('x = 1')",
    "S301": "import pickle\npickle.loads(b'')",
    "S302": "import marshal\nmarshal.loads(b'')",
    "S307": "eval(input())",
    "S324": "import hashlib\nhashlib.md5(b'')",
    "S501": "import requests\nrequests.get('https://example.org', verify=False)",
    "S506": "import yaml\nyaml.load('', Loader=yaml.Loader)",
    "S602": "import subprocess\nsubprocess.run(input(), shell=True)",
    "S604": "def f(shell): ...\nf(shell=True)",
    "S605": "import os\nos.system(input())",
    "TID251": "import torchvision\ntorchvision.io.decode_image",
}


@pytest.mark.parametrize("code", BAD)
def test_the_rule_fires(code: str) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "json", "--stdin-filename", "ala/bad.py", "-"]
    done = subprocess.run(command, cwd=ROOT, input=BAD[code], capture_output=True, text=True)
    assert code in {found["code"] for found in json.loads(done.stdout)}


def test_torch_loads_weights_only() -> None:
    calls = []
    for path in (file for folder in ("ala", "stages", "benchmarks") for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                calls.append(path)
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert given.get("weights_only") == "True", f"{path}, line {node.lineno}"
    assert calls
