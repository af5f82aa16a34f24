"""Every `-S` that the documents show is read by DVC's own parser, and by the settings."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from ala.config import load
from tests.imports import ROOT

PAGES = [ROOT / "README.md", ROOT / "params.yaml", *sorted((ROOT / "docs").glob("*.md"))]
WORD = re.compile(r"-S\s+(?:'([^']+)'|([^\s'`),|]+))")  # as a shell takes it: in quotes or without


def shown() -> list[tuple[str, str]]:
    """(page, override), for the profile mini where the page says `P`; without those of a placeholder for a value."""
    found = [
        (page.name, re.sub(r"^(P|profiles\.NAME)\.", "profiles.mini.", quoted or plain))
        for page in PAGES for quoted, plain in WORD.findall(page.read_text(encoding="utf-8"))
    ]  # fmt: skip
    return list(dict.fromkeys(one for one in found if not re.search(r"\.\.\.|=\"?(FILE|DIR|/its)", one[1])))


SHOWN = shown()


@pytest.mark.parametrize(("page", "override"), SHOWN, ids=[f"{page}: {override}" for page, override in SHOWN])
def test_it_is_read(tmp_path: Path, page: str, override: str) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_overrides(tmp_path / "params.yaml", [override])
    load(tmp_path / "params.yaml")


def test_a_path_with_spaces_and_brackets_arrives_as_it_is(tmp_path: Path) -> None:
    override = 'inputs.data="/home/me/my photos (2)"'
    assert ("README.md", override) in SHOWN
    shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_overrides(tmp_path / "params.yaml", [override])
    assert load(tmp_path / "params.yaml").inputs.path("data") == Path("/home/me/my photos (2)")


def test_enough_of_them_are_found() -> None:
    assert {page for page, _ in SHOWN} >= {"README.md", "params.yaml", "results-photos.md", "errors.md"}
    assert len(SHOWN) > 15
