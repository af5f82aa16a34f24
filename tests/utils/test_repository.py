"""Git is looked at before the first stage, since DVC would fail for want of it after the last."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ala.utils.errors import UserError
from ala.utils.repository import check


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "sub").mkdir()
    return tmp_path


@pytest.mark.parametrize("place", ["", "sub"])
def test_a_repository_and_a_folder_in_it_will_do(repository: Path, place: str) -> None:
    check(repository / place)


def test_a_downloaded_archive_is_reported_how_to_become_one(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        check(tmp_path)
    sentence = f"{tmp_path}/.git does not exist, and DVC needs a Git repository; run `git init && git add -A && git"
    assert str(caught.value) == f"{sentence} commit -m 'Start'` there"


def test_a_clone_of_another_user(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # Git's own switch for this
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    with pytest.raises(UserError, match="belongs to another user") as caught:
        check(repository)
    assert f"run `git config --global --add safe.directory {repository}`" in str(caught.value)


def test_another_trouble_is_reported_in_gits_words(repository: Path) -> None:
    (repository / ".git/config").write_text("[core\n")
    with pytest.raises(UserError, match=r"Git cannot use .* \(fatal: bad config line 1"):
        check(repository)


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git is not installed"):
        check(tmp_path)
