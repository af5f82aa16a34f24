"""`make clean` and `make clean-state` remove what stages wrote; files of the user's beside it stay."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ala.config import load
from stages.clean import outs
from tests.imports import ROOT, dvc_stages

CACHED = [
    out for stage in dvc_stages().values() for out in stage["outs"] if isinstance(out, str) and "${key}" not in out
]


def written(pattern: str) -> list[str]:
    """The paths of an out with seeds 0 and 12, and of each row that can be requested."""
    found = []
    for seed in ("0", "12"):
        for extension in ("lora", "all-taps"):
            for cell in load(ROOT / "params.yaml").methods:
                named = pattern.replace("${item.extension}", extension).replace("${item.methods}", cell)
                found.append(re.sub(r"\$\{item(\.seed)?\}", seed, named))
    return list(dict.fromkeys(found))


WRITTEN = [path for pattern in CACHED for path in written(pattern)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project after a run, with a stranger's file, folder and hidden file beside each out."""
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    for name in WRITTEN:
        path = tmp_path / name
        if name in ("data/metrics.json", "data/inputs/checked"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("written by a stage")
        else:
            path.mkdir(parents=True)
            (path / "file").write_text("written by a stage")
    return tmp_path


def strangers(project: Path) -> dict[Path, str]:
    """Put files beside every out, and their names' like; what they hold, by their place."""
    found = {}
    for name in WRITTEN:
        out = project / name
        for place in (f"{out.name}.txt", f".{out.name}-original/x", f"my-{out.name}/x", "photos/x", "seed-mine/x"):
            file = out.parent / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"mine, {name}")
            found[file] = f"mine, {name}"
    for place in (
        "state/notes.txt",
        "state/shards/thesis/cv.pdf",
        "state/checkpoints/best.pt",
        "state/ledger/notes.txt",
        "downloads/CUB.tgz",
    ):
        file = project / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
        found[file] = "mine"
    legrad = project / "maps/legrad/seed-0/test.npz"  # maps of the user's own, under the user's own name
    legrad.parent.mkdir(parents=True)
    legrad.write_text("mine")
    return {file: file.read_text() for file in [*found, legrad]}


def clean(project: Path, *words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "stages.clean", *words], cwd=project, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT), **environment}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_runs_it() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "\nclean: env" in makefile
    assert "\n\t@python -m stages.clean\n" in makefile
    assert "\n\t@python -m stages.clean --state\n" in makefile
    assert "rm -" not in makefile


def test_a_strangers_file_beside_each_out_survives(project: Path) -> None:
    kept = strangers(project)
    checkpoint = project / f"state/checkpoints/train-abn-{'0' * 16}.pt"
    record = project / "state/ledger/mini/train@0.json"
    record.parent.mkdir()
    record.write_text("{}")
    checkpoint.write_text("x")
    shard = project / f"state/shards/explain-rise-seed-0/{'0' * 32}.npz"
    shard.parent.mkdir(parents=True)
    shard.write_text("x")
    clean(project)
    assert {file: file.read_text() for file in kept} == kept
    assert [name for name in WRITTEN if (project / name).exists()] == []
    assert not record.parent.exists()
    assert not checkpoint.exists()
    assert not shard.exists()


def test_without_strangers_nothing_is_left_behind(project: Path) -> None:
    (project / "state/checkpoints").mkdir(parents=True)
    (project / f"state/checkpoints/train-abn-{'0' * 16}.pt").write_text("x")
    clean(project)
    assert sorted(path.name for path in project.iterdir()) == ["dvc.yaml", "params.yaml"]
    assert clean(project) == "nothing to remove\n"


def test_half_done_work_alone(project: Path, tmp_path: Path) -> None:
    kept = strangers(project)
    home = tmp_path / "home"
    mine = home / "checkpoints/cv.pdf"
    unit = home / f"shards/explain-rise-seed-0/{'0' * 32}.npz"
    for file in (mine, unit):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    clean(project, "--state", ALA_STATE=str(home))
    assert {file: file.read_text() for file in kept} == kept
    assert [name for name in WRITTEN if not (project / name).exists()] == []
    assert mine.exists()
    assert not unit.exists()


def test_what_a_link_points_to_stays(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "disk"
    (project / "models/encoder").rename(elsewhere)
    (project / "models/encoder").symlink_to(elsewhere)
    clean(project)
    assert not (project / "models").exists()
    assert (elsewhere / "file").exists()


def test_every_variable_in_an_out_is_known(project: Path) -> None:
    """A variable that it does not know would end the command; those that Git keeps are not touched."""
    found = {path.relative_to(project).as_posix() for path in outs(project)}
    assert found == set(WRITTEN)
    assert not any(name.startswith("reports") for name in found)
