"""Scores: nothing is lost between writing and reading, and the wide table is the long one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ala.contracts.scores import COLUMNS, LONG, load, long_rows, save, wide
from ala.utils.errors import UserError


def rows() -> pd.DataFrame:
    numbers = {
        "prediction/label": [0, 0, 1], "prediction/target": [0, 1, 1], "prediction/correct": [True, False, True],
        "majority-val/iou": [0.1 + 0.2, np.nan, 1 / 3], "majority-val/empty": [0, np.nan, 1],
        "official-predicted/id": [0.5, 0.25, np.nan], "_curves": [1, 2, 3],
    }  # fmt: skip
    whole = {"localisation/pxap": 0.25}
    return pd.concat(
        [long_rows("rise", "abn", 0, np.array([3, 1, 2]), numbers), long_rows("rise", "abn", 0, None, whole)],
        ignore_index=True,
    )


def test_save_and_load_keep_every_bit(tmp_path: Path) -> None:
    save(rows(), tmp_path / "scores.csv")
    found = load(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(found, rows(), check_exact=True)
    save(found, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "scores.csv").read_bytes()


def test_what_was_not_measured_has_no_row() -> None:
    assert len(rows()) == 3 * 3 + 3 * 2 + 1
    assert rows()["image_id"].tolist()[-1] == -1  # of the whole set


def test_the_wide_table_has_a_row_per_image_and_gaps() -> None:
    found = wide(rows())
    assert list(found.columns) == COLUMNS
    assert found["image_id"].tolist() == [1, 2, 3]
    assert found["correct"].tolist() == [False, True, True]
    np.testing.assert_array_equal(found["iou_val"], [np.nan, 1 / 3, 0.1 + 0.2])
    assert found["empty_val"].isna().tolist() == [True, False, False]
    assert int(found["empty_val"].sum()) == 1  # the missing one counts neither way
    assert found["iou_otsu"].isna().all()  # of a metric that was not requested


def test_wrong_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    with pytest.raises(UserError, match=r"has the columns .*; run its score stage again"):
        save(rows().drop(columns="model"), path)
    with pytest.raises(UserError, match=r"prediction/label of image 3 occurs twice for rise; run its score stage"):
        save(pd.concat([rows(), rows()]), path)
    with pytest.raises(UserError, match="a value that is not finite"):
        save(rows().assign(value=np.inf), path)
    assert not path.exists()
    with pytest.raises(UserError, match="does not exist; run the score stage"):
        load(path)
    for content in ("", "method,seed\nrise,0\n", 'a,b\n"x', ",".join(LONG) + "\nrise,abn,0,3,iou,majority,much\n"):
        path.write_text(content)
        with pytest.raises(UserError, match=r"scores\.csv"):
            load(path)
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match=r"scores\.csv"):
        load(path)
