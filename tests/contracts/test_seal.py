"""A sealed folder is taken as it was written, and no other way."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from ala.contracts.seal import SEAL, check, seal
from ala.utils.errors import UserError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "scores.csv").write_text("iou\n0.5\n")
    (tmp_path / "curves.npz").write_bytes(b"\x00\x01")
    seal(tmp_path)
    return tmp_path


def test_a_whole_folder_passes_and_sha256sum_agrees(folder):
    check(folder, "dvc repro evaluate@0")
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", "--strict", "--quiet", SEAL], cwd=folder, check=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "scores.csv").write_text("iou\n0.6\n"), r"scores.csv was changed after it was written .*"),
        (lambda f: (f / "scores.csv").unlink(), "scores.csv is gone; .*"),
        (lambda f: (f / "more.csv").write_text(""), "more.csv was added by hand, .*"),
        (lambda f: (f / SEAL).unlink(), "SHA256SUMS does not exist, .*"),
        (lambda f: (f / SEAL).write_text("nonsense"), " is gone; "),
    ],
)
def test_anything_else_is_refused_with_the_remedy(folder, damage, message):
    damage(folder)
    with pytest.raises(UserError, match=message + "run `dvc repro evaluate@0`"):
        check(folder, "dvc repro evaluate@0")
