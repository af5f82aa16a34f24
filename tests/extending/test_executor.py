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
    monkeypatch.setattr("ala.pipeline.score.IMAGES", {"subset": 1, "mapped": 1, "all": 3})  # several shards of each
    remade = []
    for executor in (None, which):
        for name in ("maps", "scores", "state"):
            shutil.rmtree(project / name)
        if executor is not None:
            project.apply(recipe("6. More processes, or machines"), executor)
        project.score("rise")
        remade.append(outs(project))
    assert len(remade[0]) == 7
    assert remade[0] == remade[1]
