"""Files of the user's own as DVC sees them: changed bytes count, a wrong place is reported before any work."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.bad_inputs.world import CHANGES, change, write_weights
from tests.data.conftest import write_cub
from tests.imports import ROOT
from tests.pipeline.conftest import Scratch, clone

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]

MASK = "segmentations/001.Wren/bird_0002.png"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """A clone whose profile reads a data set and weights elsewhere, with spaces and brackets in the path."""
    own = tmp_path_factory.mktemp("own")
    write_cub(own / "my photos (2) [a]")
    for name in ("encoder", "fcam"):
        write_weights(own / f"{name}.safetensors")
    scratch = clone(tmp_path_factory.mktemp("project"))
    params = scratch.folder / "params.yaml"
    change(params, CHANGES)
    change(params, {"fcam": {"pretrained": True, "freeze_norms": True}})
    settings = yaml.safe_load(params.read_text()) | {"seeds": [0]}
    settings["inputs"] = {
        "data": str(own / "my photos (2) [a]"), "encoder": str(own / "encoder.safetensors"),
        "fcam": str(own / "fcam.safetensors"),
    }  # fmt: skip
    params.write_text(yaml.safe_dump(settings, sort_keys=False))
    scratch.run("dvc", "repro", "encoder", "fcam@0")
    scratch.run("git", "add", "-A")
    scratch.run("git", "commit", "-q", "-m", "run")
    return scratch


def given(project: Scratch, name: str) -> Path:
    return Path(yaml.safe_load((project.folder / "params.yaml").read_text())["inputs"][name])


def changed(project: Scratch) -> dict[str, str]:
    """Stages of the part that was run that `dvc status` finds changed, and what it says of each."""
    text = project.run("dvc", "status", "data", "encoder", "fcam@0").stdout
    return dict(re.findall(r"^(\S+):\n((?:\s+.*\n?)+)", text, re.MULTILINE))


def test_nothing_is_changed_after_a_run(project: Scratch) -> None:
    assert changed(project) == {}


@pytest.mark.parametrize("content", ["other bytes", "the same bytes at another time"])
def test_a_mask_counts_by_its_bytes(project: Scratch, content: str) -> None:
    mask = given(project, "data") / MASK
    before = mask.read_bytes()
    try:
        if content == "other bytes":
            pixels = np.array(Image.open(mask))
            pixels[0, 0] = 255 - pixels[0, 0]
            Image.fromarray(pixels).save(mask)
        else:
            os.utime(mask)
        found = changed(project)
        assert found.keys() == ({"data"} if content == "other bytes" else set())
        assert str(given(project, "data")) in found.get("data", str(given(project, "data")))
    finally:
        mask.write_bytes(before)
    assert changed(project) == {}


@pytest.mark.parametrize(("name", "stage"), [("encoder", "encoder"), ("fcam", "fcam@0")])
def test_weights_count_by_their_bytes(project: Scratch, name: str, stage: str) -> None:
    file = given(project, name)
    before = file.read_bytes()
    try:
        tensors = load_file(file)
        tensors["conv1.0.weight"][0] += 1
        save_file(tensors, file)
        assert len(file.read_bytes()) == len(before)
        assert changed(project).keys() == {stage}
        dry = project.run("dvc", "repro", "--dry", stage)
        assert project.stages_run(dry) == {stage}
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("where", [[], ["--temp"]])
@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "inputs.data=../x",
            "inputs.data: '../x': is a relative path, which names another place in a queued experiment",
        ),
        ("inputs.data=/nowhere/x", "inputs.data /nowhere/x is no folder; name it by its absolute path"),
        ("inputs.fcam=/nowhere/w.pt", "inputs.fcam /nowhere/w.pt does not exist; name it by its absolute path"),
    ],
)
def test_a_wrong_place_is_reported_by_us_before_any_work(
    project: Scratch, where: list[str], override: str, message: str
) -> None:
    done = project.run("dvc", "exp", "run", *where, "-S", override, "fcam@0", check=False)
    said = done.stdout + done.stderr
    project.run("git", "checkout", "-q", "--", ".")
    project.run("dvc", "checkout", "-q", "check")
    assert done.returncode != 0
    assert f"error: {message}" in said or f"  {message}" in said
    assert project.stages_run(done) == {"check"}
    assert "Traceback" not in said


def test_a_queued_experiment_reads_the_same_files(project: Scratch, tmp_path: Path) -> None:
    copy = tmp_path / "my images, copied (3)"
    write_cub(copy)
    done = project.run("dvc", "exp", "run", "--temp", "-S", f'inputs.data="{copy}"', "split")
    assert {"check", "data"} <= project.stages_run(done)


def test_a_list_setting_with_one_value_is_reported_in_words(project: Scratch) -> None:
    done = project.run("dvc", "exp", "run", "-S", "seeds=3", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    sentence = "failed to resolve 'stages.train.foreach' in 'dvc.yaml': expected list/dictionary, got int"
    assert sentence in said
    assert sentence in (ROOT / "docs/errors.md").read_text()
    assert "unexpected error" not in said


def test_a_mapping_in_place_of_pairs_is_refused(project: Scratch) -> None:
    done = project.run("dvc", "exp", "run", "-S", "profiles.mini.ala.sbn.fusion_map={1: 0}", "split", check=False)
    assert done.returncode != 0
    assert "Cannot merge DictConfig with ListConfig" in done.stdout + done.stderr
    assert project.run("git", "status", "--porcelain", "params.yaml").stdout == ""


def test_other_pairs_are_taken_as_a_whole(project: Scratch) -> None:
    project.run("dvc", "exp", "run", "-S", "profiles.mini.ala.sbn.fusion_map=[[1,0]]", "split")
    found = yaml.safe_load((project.folder / "params.yaml").read_text())
    project.run("git", "checkout", "-q", "--", ".")
    assert found["profiles"]["mini"]["ala"]["sbn"]["fusion_map"] == [[1, 0]]


def test_without_git_make_says_what_to_do(project: Scratch, tmp_path: Path) -> None:
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=project.folder, check=True, capture_output=True).stdout
    subprocess.run(["tar", "x", "-C", tmp_path], input=archive, check=True)
    done = Scratch(tmp_path).run("python", "-m", "stages.check", check=False)
    assert done.returncode == 2
    assert done.stderr.endswith("run `git init && git add -A && git commit -m 'Start'` there\n")
    recipe = (ROOT / "Makefile").read_text().partition("\nrepro:")[2].partition("\n\n")[0].splitlines()[1:]
    assert recipe[:2] == ["\t@python -m stages.check", "\tdvc repro"]
    scratch = Scratch(tmp_path)
    for command in (["git", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-q", "-m", "Start"]):
        scratch.run(*command)
    scratch.run("python", "-m", "stages.check")


def test_strangers_beside_outs_survive_a_run(project: Scratch) -> None:
    places = ["data/photos/x", "data/dataset.txt", "models/mine.pt", "models/fcam/seed-mine/x",
              "data/.dataset-original/x"]  # fmt: skip
    for name in places:
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text("mine")
    project.run("dvc", "repro", "--force", "encoder")
    project.run("python", "-m", "stages.clean")
    assert [name for name in places if not (project.folder / name).exists()] == []
    assert not (project.folder / "data/dataset").exists()
