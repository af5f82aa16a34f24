"""Recipe 6: another executor is one word, and the bytes are the same."""

from __future__ import annotations

import shutil

import pytest

from tests.extending.recipes import recipe


def outs(project):
    found = (file for name in ("maps", "scores") for file in (project / name).rglob("*") if file.is_file())
    return {file: file.read_bytes() for file in found}


@pytest.mark.pipeline
@pytest.mark.parametrize("which", [0, 1], ids=["processes", "a pool of the user's own"])
def test_another_executor_gives_the_same_bytes(project, monkeypatch, which):
    monkeypatch.setattr("ala.pipeline.explain.SUBSET_IMAGES", 1)  # several shards for each piece of work
    monkeypatch.setattr("ala.pipeline.score.IMAGES", {"subset": 1, "mapped": 1, "all": 3})
    wanted = outs(project)
    for name in ("maps", "scores", "state"):
        shutil.rmtree(project / name)
    project.apply(recipe("6. More processes, or machines"), which)
    project.score("rise")
    made = outs(project)
    assert len(made) == 7
    assert made == {file: wanted[file] for file in made}
