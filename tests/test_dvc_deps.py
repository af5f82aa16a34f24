"""Each stage's `deps` in dvc.yaml name the code that its numbers come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imports import ROOT, dvc_stages, imported_files

#: Code that makes no numbers: a new error text or progress bar must not retrain anything.
NO_NUMBERS = {
    "ala/__init__.py", "ala/registry.py", "ala/config", "ala/contracts/classifier.py", "ala/data/parallel.py",
    "ala/utils/checkpoint.py", "ala/utils/device.py", "ala/utils/disk.py", "ala/utils/errors.py",
    "ala/utils/files.py", "ala/utils/finite.py", "ala/utils/fitting.py",
    "ala/pipeline", "ala/utils/ledger.py", "ala/utils/process.py",
    "ala/utils/progress.py", "ala/utils/repository.py", "ala/utils/threads.py",
    "ala/utils/torchvision_import.py", "stages/options.py",
}  # fmt: skip

#: What a command that several stages share reaches only for the others.
FCAM = "ala/explainers/fcam"  # a context can load F-CAM's model, too
PRETRAINING = ["ala/data/birdlets", "ala/training/loop.py"]  # which only `encoder` does
SCORING = ["ala/perturbation", "ala/metrics"]  # who trains reads the masks of validation images by ala/metrics/iou.py
STEMS = ["ala/data/index.py", "ala/data/split.py"]  # names of files, for maps of other programs
NOT_USED: dict[str, list[str]] = {
    "check": ["ala/contracts", "ala/data/archives.py", "ala/data/download.py"],  # looks whether things are there
    "foreign": ["ala"],  # a hash of a folder
    "train": [*PRETRAINING, *SCORING, FCAM],
    "train_abn": [*PRETRAINING, *SCORING, FCAM],
    "fcam": ["ala/data/birdlets", "ala/encoders", "ala/model", *SCORING],  # a context can load ALA's models, too
    "extend": [*PRETRAINING, *STEMS, FCAM],
    "layers": [*PRETRAINING, *STEMS, FCAM],
    "edge": [*PRETRAINING, *STEMS, FCAM],
    "report": ["ala/perturbation"],  # metrics measure with it; the report reads their numbers
    "score": ["ala"],  # what decides about a cell's numbers is in its file below cells/
}
STAGES = dvc_stages()
PIPELINE = Path("ala/pipeline")  # makes no numbers, but calls what does


def covered(file: Path, deps: list[str]) -> bool:
    return any(file == Path(dep) or Path(dep) in file.parents for dep in deps)


def reachable(entry: Path, stop: set[str]) -> set[Path]:
    """All project files that `entry` can import, not behind what makes no numbers (but behind the pipeline)."""
    found, todo = set(), [entry]
    while todo:
        for file in imported_files(todo.pop()):
            if file not in found and (PIPELINE in file.parents or not covered(file, sorted(stop))):
                found.add(file)
                todo.append(file)
    found = {file for file in found if PIPELINE not in file.parents}
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
