"""The twin's archives, and the stages as processes beside a settings file that names them."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.twin.draw import draw_twin, pack_twin
from tests.twin.serve import Server, served

PROJECT = Path(__file__).resolve().parents[2]
GENUINE = PROJECT.parent / "shared" / "data" / "cub_metadata"


@dataclass
class Bench:
    """A scratch folder in which stages of the paper profile run, on archives of this machine."""

    folder: Path
    archives: tuple[Path, Path]
    server: Server
    expected: dict[str, int]

    def settings(
        self, birds: tuple[str, ...] = ("good",), masks: tuple[str, ...] = ("good",), given: Path | None = None
    ) -> None:
        """Write params.yaml: the paper profile, these servers' behaviours as addresses, a folder for inputs.data."""
        params = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
        params["profile"] = "paper"
        downloads = [
            {
                "name": file.name,
                "urls": [self.server.url(behaviour, file.name) for behaviour in behaviours],
                "bytes": file.stat().st_size,
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
            for file, behaviours in zip(self.archives, (birds, masks), strict=True)
        ]
        params["profiles"]["paper"]["data"] |= {"downloads": downloads, "expected": self.expected}
        if given is not None:
            params["inputs"]["data"] = str(given)
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")

    def command(self, stage: str) -> tuple[list[str], dict[str, str]]:
        environment = os.environ | {"PYTHONPATH": str(PROJECT), "NO_PROXY": "127.0.0.1", "PYTHONDONTWRITEBYTECODE": "1"}
        return [sys.executable, "-m", f"stages.{stage}"], environment

    def run(self, stage: str, largest_file: int | None = None) -> subprocess.CompletedProcess[str]:
        """Run a stage; with `largest_file` no file of it can grow beyond so many bytes, as on a full disk."""
        command, environment = self.command(stage)
        limit = (largest_file, largest_file)
        return subprocess.run(
            command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False, timeout=300,
            preexec_fn=None if largest_file is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        )  # fmt: skip

    def refused(self, message: str, **run: Any) -> str:
        """Stage `data` must end with one sentence that holds `message`, and leave no data set; the sentence."""
        result = self.run("data", **run)
        assert result.returncode == 2, result.stderr
        error = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(error) == 1
        assert error[0] == result.stderr.splitlines()[-1]
        assert "Traceback" not in result.stderr
        assert message in error[0]
        assert not (self.folder / "data").exists() or list((self.folder / "data").iterdir()) == []
        return error[0]


@dataclass
class Drawn:
    """A drawn twin, packed; `seconds` of processor time that it took."""

    tree: Path
    archives: tuple[Path, Path]
    images: int
    seconds: float


def _processor_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _drawn(folder: Path, **how: Any) -> Drawn:
    before = _processor_seconds()
    frame = draw_twin(folder / "tree", **how)
    archives = pack_twin(folder / "tree", folder / "archives")
    return Drawn(folder / "tree", archives, len(frame), _processor_seconds() - before)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Three made-up classes of 40 images."""
    return _drawn(tmp_path_factory.mktemp("small"), images_per_class=40, classes=3)


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drawn]:
    """All 11,788 images, under the genuine lists where those lie beside the checkout, else under made-up names."""
    folder = tmp_path_factory.mktemp("full")
    yield _drawn(folder, lists=GENUINE if GENUINE.is_dir() else None)
    shutil.rmtree(folder)  # pytest would keep it, and those of the next two sessions


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[[Drawn], Bench]]:
    """Make a bench of a drawn twin; its server ends with the test."""
    with served(tmp_path / "served") as server:

        def make(drawn: Drawn) -> Bench:
            (tmp_path / "run").mkdir()
            (tmp_path / "served").mkdir()
            archives = tuple(tmp_path / "served" / file.name for file in drawn.archives)
            for source, target in zip(drawn.archives, archives, strict=True):
                target.hardlink_to(source)
            counts = {
                "photos": drawn.images,
                "classes": len((drawn.tree / "CUB_200_2011/classes.txt").read_text().split("\n")) - 1,
            }
            return Bench(tmp_path / "run", (archives[0], archives[1]), server, counts)

        yield make
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
