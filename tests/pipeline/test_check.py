"""What the stage `check` writes: the code of a layout of the user's own decides about the stage `data`."""

from __future__ import annotations

from pathlib import Path

import pytest

from ala.config import load
from ala.pipeline import code
from ala.pipeline.check import check
from tests.imports import ROOT

LAYOUT = """
class Mine:
    def read(self, root, settings):
        return {answer}
"""


def test_the_code_of_an_own_layout_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ala.utils.repository.check", lambda folder: None)
    monkeypatch.syspath_prepend(tmp_path)
    settings = load(ROOT / "params.yaml")
    assert check(settings) == ""
    data = settings.active.data.model_copy(update={"layout": "layout_of_mine:Mine"})
    own = settings.active.model_copy(update={"data": data})
    settings = settings.model_copy(update={"profiles": {**settings.profiles, settings.profile: own}})
    found = []
    for answer in (1, 1, 2):
        (tmp_path / "layout_of_mine.py").write_text(LAYOUT.format(answer=answer))
        code.digest.cache_clear()
        found.append(check(settings))
    assert found[0] == found[1] != found[2]
    assert found[0].startswith("layout ")
