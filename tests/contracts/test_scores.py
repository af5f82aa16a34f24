"""Scores: nothing is lost between writing and reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ala.contracts.scores import COLUMNS, FLAGS, load, save
from ala.utils.errors import UserError


def rows() -> pd.DataFrame:
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {column: random.random(3) for column in COLUMNS}
    columns |= {
        "method": "rise", "seed": 0, "image_id": [3, 1, 2], "label": 0, "target": 1, "correct": [True, False, True],
    }  # fmt: skip
    columns |= {flag: pd.array([True, pd.NA, False], dtype="boolean") for flag in FLAGS}
    columns["insertion"] = [0.1 + 0.2, np.nan, 1 / 3]
    return pd.DataFrame(columns)[COLUMNS]


def test_save_and_load_keep_every_bit(tmp_path: Path) -> None:
    save(rows(), tmp_path / "scores.csv")
    found = load(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(found, rows(), check_exact=True)
    assert int(found["empty_fixed"].sum()) == 1  # the missing one counts neither way
    save(found, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "scores.csv").read_bytes()


def test_wrong_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    with pytest.raises(UserError, match="scores have the columns"):
        save(rows().drop(columns="id"), path)
    twice = rows().assign(image_id=[3, 1, 3])
    with pytest.raises(UserError, match="image 3 stands twice for rise, seed 0"):
        save(twice, path)
    assert not path.exists()
    with pytest.raises(UserError, match="does not exist; run the evaluate stage"):
        load(path)
    for content in ("", "method,seed\nrise,0\n", 'a,b\n"x'):
        path.write_text(content)
        with pytest.raises(UserError, match=r"scores\.csv"):
            load(path)
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match=r"scores\.csv"):
        load(path)
