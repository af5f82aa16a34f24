"""The comparison of two runs: what is the same, what differs, and by how much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ala.utils.errors import UserError
from benchmarks.spread import main, spread


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    folders = tmp_path / "first", tmp_path / "second"
    for number, folder in enumerate(folders):
        (folder / "abn").mkdir(parents=True)
        np.savez(folder / "abn/test.npz", ids=np.arange(3), maps=np.array([0.5, np.nan, 1 + number * 1e-3]))
        (folder / "scores.csv").write_text(f"method,id\nabn,{0.25 + number / 8}\nabn,0.5\n")
        save_file({"w": np.zeros(4, np.float32)}, folder / "weights.safetensors")
    return folders


def test_the_largest_difference_of_each_file(runs, capsys):
    compared, found = spread(*runs)
    assert compared == 3
    assert found == {"abn/test.npz": pytest.approx(1e-3), "scores.csv": 0.125}
    main(*runs)
    assert "1 of 3 files are the same bytes" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["method,id\nfcam,0.25\nabn,0.5\n", "method,id\nabn,0.25\n", "id\n0.25\n", "method,id\nabn,\nabn,0.5\n"]
)
def test_what_cannot_be_subtracted_is_infinitely_far(runs, text):
    (runs[1] / "scores.csv").write_text(text)
    assert spread(*runs)[1]["scores.csv"] == float("inf")


def test_folders_that_cannot_be_compared_are_refused(runs, tmp_path):
    (runs[1] / "scores.csv").unlink()
    with pytest.raises(UserError, match=r"scores\.csv is only in one of"):
        spread(*runs)
    with pytest.raises(UserError, match="holds no"):
        spread(tmp_path / "a", tmp_path / "b")
