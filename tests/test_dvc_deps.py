"""Each stage's `deps` in dvc.yaml name the code that its numbers come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imports import ROOT, dvc_stages, imported_files

#: Code that makes no numbers: a new error text or progress bar must not retrain anything.
NO_NUMBERS = {
    "ala/__init__.py", "ala/config", "ala/contracts/classifier.py", "ala/data/parallel.py",
    "ala/runtime/device.py", "ala/runtime/disk.py", "ala/runtime/epochs.py", "ala/runtime/errors.py",
    "ala/runtime/files.py", "ala/runtime/finite.py", "ala/runtime/fitting.py", "ala/runtime/interrupt.py",
    "ala/runtime/kept.py", "ala/runtime/ledger.py", "ala/runtime/memory.py",
    "ala/runtime/progress.py", "ala/runtime/repository.py", "ala/runtime/resume.py", "ala/runtime/threads.py",
    "ala/runtime/torchvision_import.py",
}  # fmt: skip

#: What a command that several stages share reaches only for the others.
NOT_USED: dict[str, list[str]] = {
    "check": ["ala/data/archives.py", "ala/data/download.py"],  # looks whether archives are there, opens none
    "train": ["ala/data/birdlets"],  # ala.encoder reaches the drawings to pre-train, which only `encoder` does
    "evaluate": ["ala/explain/rise.py", "ala/explain/attention.py", "ala/data/birdlets"],
    "evaluate_main": ["ala/explain/rise.py", "ala/explain/attention.py", "ala/explain/fcam", "ala/data/birdlets"],
    "edge": ["ala/explain/rise.py", "ala/explain/attention.py", "ala/explain/fcam", "ala/data/birdlets"],
    "rise": ["ala/data/birdlets"],
    "explain": ["ala/data/birdlets"],
    "train_abn": ["ala/data/birdlets"],
    "protocols": ["ala/explain/rise.py", "ala/explain/attention.py", "ala/data/birdlets"],
    "extend": ["ala/explain/rise.py", "ala/explain/trivial.py", "ala/explain/fcam", "ala/data/birdlets"],
    "layers": ["ala/explain/rise.py", "ala/explain/trivial.py", "ala/explain/fcam", "ala/data/birdlets"],
}
STAGES = dvc_stages()


def covered(file: Path, deps: list[str]) -> bool:
    return any(file == Path(dep) or Path(dep) in file.parents for dep in deps)


def reachable(entry: Path, stop: set[str]) -> set[Path]:
    """All project files that `entry` can import, not looking behind what makes no numbers."""
    found, todo = set(), [entry]
    while todo:
        for file in imported_files(todo.pop()):
            if file not in found and not covered(file, sorted(stop)):
                found.add(file)
                todo.append(file)
    return {file for file in found if (ROOT / file).read_text().count("\n") > 3}  # an empty __init__ makes no numbers


@pytest.mark.parametrize("name", STAGES)
def test_deps_cover_what_the_stage_imports(name):
    stage = STAGES[name]
    commands = stage["cmd"] if isinstance(stage["cmd"], list) else [stage["cmd"]]
    deps = [dep for dep in stage["deps"] if dep.startswith(("ala", "stages"))]
    known = deps + NOT_USED.get(name, [])
    for command in commands:
        module = command.split()[2].replace(".", "/") + ".py"
        assert module in deps
        missing = sorted(str(file) for file in reachable(Path(module), NO_NUMBERS) if not covered(file, known))
        assert missing == [], f"{name}: add these to its deps in dvc.yaml"


@pytest.mark.parametrize("name", STAGES)
def test_deps_exist(name):
    for dep in STAGES[name]["deps"]:
        if dep.startswith(("ala", "stages")):
            assert (ROOT / dep).exists(), dep
