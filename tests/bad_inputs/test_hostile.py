"""Broken and hostile files: one sentence with file, value and remedy, exit code 2, nothing half-written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bad_inputs.case import Accepted, Case
from tests.bad_inputs.document import PAGE, row, said
from tests.bad_inputs.table import ACCEPTED, REFUSED
from tests.bad_inputs.world import build, visit


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("hostile") / "sound")


REFUSALS = [
    pytest.param(case, id=f"{group.split()[0].lower().rstrip(',')}: {case.what}")
    for group, cases in REFUSED.items() for case in cases
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_refused(sound: Path, tmp_path: Path, case: Case) -> None:
    result, untouched = visit(sound, tmp_path / "project", case.damage, case.command)
    message = result.output.strip()
    assert result.exit_code == 2, f"{message}\n{result.exception!r}"
    assert untouched
    assert not (tmp_path / "project/broken-into").exists()
    assert message.startswith("error: ")
    first, *others = message.splitlines()
    assert not others or re.fullmatch(r"error: params.yaml has \d+ errors?:", first)  # one line for each mistake
    assert len(message) < 700
    shown = message.replace(f"{tmp_path / 'project'}/", "")  # inputs are absolute paths
    for part in (case.file, case.value, case.remedy):
        assert part in shown
    assert row(case.what, case.command, said(message, tmp_path / "project")) in PAGE.read_text(encoding="utf-8"), (
        "docs/errors.md is not of these cases; run `python -m tests.bad_inputs.document`"
    )


@pytest.mark.parametrize("case", [pytest.param(case, id=case.what) for case in ACCEPTED])
def test_accepted(sound: Path, tmp_path: Path, case: Accepted) -> None:
    result, _ = visit(sound, tmp_path / "project", case.damage, case.command, case.check)
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    assert row(case.what, case.command, case.so) in PAGE.read_text(encoding="utf-8")


def test_the_page_has_a_row_for_each_case_and_no_other() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    headings = len(REFUSED) + 1
    assert len(rows) - headings == len(REFUSALS) + len(ACCEPTED)
    assert len(REFUSALS) >= 60
