"""A scratch clone of the working tree, run once by DVC at tiny sizes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

#: The miniature, smaller: everything is run, nothing is meant to be good.
TINY = {
    "data": {"birdlets": {"species": 4, "train_per_species": 7, "test_per_species": 3}, "train_per_class": 5},
    "encoder": {"weights": "train", "pretrain": {"pairs": 64, "epochs": 2, "batch": 32}},
    "train": {"epochs": 4, "batch": 8},
    "rise": {"n_masks": 16},
    "fcam": {"classifier": {"epochs": 2, "batch": 8}, "decoder": {"epochs": 2, "batch": 8}},
    "metrics": {"images_per_class": 2, "step": 1600, "lab_points": 4, "box_step": 0.1},
    "layers": {"abn": [0, 2]},
    "errors": {"at_least": 4},
}


@dataclass
class Scratch:
    """A clone with its own Git history and DVC cache."""

    folder: Path

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of this environment in the clone, offline, one thread a process."""
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        if check and done.returncode:
            output = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            pytest.fail(f"{' '.join(command)} left with {done.returncode}:\n{output}")
        return done

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start what :meth:`run` runs; both its streams come as one."""
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    @property
    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {
            "PATH": path, "OMP_NUM_THREADS": "1", "GIT_CONFIG_GLOBAL": os.devnull, "DVC_NO_ANALYTICS": "1",
            "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org",
        }  # fmt: skip

    def stages_run(self, done: subprocess.CompletedProcess[str]) -> set[str]:
        """The names of the stages that a `dvc repro` or `dvc exp run` really ran."""
        return set(re.findall(r"Running stage '([^']+)'", done.stdout + done.stderr))


def deep_update(target: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            deep_update(target[key], value)
        else:
            target[key] = value


def clone(target: Path) -> Scratch:
    """Copy what Git tracks, and what it would track, into a new repository with tiny settings."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock" and not name.startswith("reports/"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    params = yaml.safe_load((target / "params.yaml").read_text())
    params["seeds"] = [0, 1]
    deep_update(params["profiles"]["mini"], TINY)
    (target / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    scratch = Scratch(target)
    scratch.run("git", "init", "-q")
    scratch.run("git", "add", "-A")
    scratch.run("git", "commit", "-q", "-m", "scratch")
    return scratch


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """The clone after `dvc repro`, committed."""
    scratch = clone(tmp_path_factory.mktemp("scratch"))
    scratch.run("dvc", "repro")
    scratch.run("git", "add", "-A")
    scratch.run("git", "commit", "-q", "-m", "run")
    return scratch
