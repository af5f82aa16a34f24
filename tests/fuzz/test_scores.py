"""Score tables and splits: what was written comes back, and whatever was done to it since is reported."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import example, given
from hypothesis import strategies as st

from ala.contracts import scores
from ala.data.split import COLUMNS as SPLIT
from ala.data.split import NAMES, read_splits
from tests.fuzz.damage import EDITS, Edits, damaged
from tests.fuzz.reported import fewer, reported

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
CELLS = st.sampled_from(
    ["", "0", "1", "-1", "0.5", "nan", "inf", "True", "true", "False", "x", '"', '"a,b"', "\n", "\r", "1e999", "9" * 30,
     "\x00", "\x1b[2J", "é", "0x10", "1_0", " ", "NA", "2001-01-01"]
)  # fmt: skip


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    n = draw(st.integers(1, 4))
    columns: dict[str, Any] = {
        "method": draw(st.lists(st.sampled_from(["ala", "rise", "box"]), min_size=n, max_size=n)),
        "model": draw(st.lists(st.sampled_from(["", "abn", "NA"]), min_size=n, max_size=n)),
        "seed": draw(st.lists(st.integers(0, 2**40), min_size=n, max_size=n)),
        "image_id": draw(st.lists(st.integers(-1, 2**60), min_size=n, max_size=n, unique=True)),
        "metric": draw(st.lists(st.sampled_from(["iou", "insertion", "null"]), min_size=n, max_size=n)),
        "protocol": draw(st.lists(st.sampled_from(["majority-val", "official-true"]), min_size=n, max_size=n)),
        "value": draw(st.lists(NUMBERS, min_size=n, max_size=n)),
    }
    return pd.DataFrame(columns)[scores.LONG]


@fewer
@given(tables())
def test_scores_keep_every_bit(rows: pd.DataFrame) -> None:
    with folder() as at:
        scores.save(rows, at / "scores.csv")
        back, first = scores.load(at / "scores.csv"), (at / "scores.csv").read_bytes()
        scores.save(back, at / "scores.csv")
        assert (at / "scores.csv").read_bytes() == first
    pd.testing.assert_frame_equal(back, rows, check_exact=True)


SCORES = ",".join(scores.LONG) + "\nrise,aea-true-sbn-true,0,3,iou,majority-val,0.5\n"


@given(EDITS)
@example([("cut", 0.0, b"x")])
def test_damaged_scores(edits: Edits) -> None:
    with folder() as at:
        path = at / "scores.csv"
        path.write_bytes(damaged(SCORES.encode(), edits))
        is_sound(reported(lambda: scores.load(path), path))


@given(st.dictionaries(st.sampled_from(scores.LONG), CELLS, max_size=3), st.booleans())
def test_scores_of_other_kinds(changes: dict[str, str], twice: bool) -> None:
    head, row, *_ = SCORES.split("\n")
    cells = dict(zip(scores.LONG, row.split(","), strict=True)) | changes
    with folder() as at:
        path = at / "scores.csv"
        path.write_text("\n".join([head, ",".join(cells.values()), row if twice else "", ""]), encoding="utf-8")
        is_sound(reported(lambda: scores.load(path), path))


def is_sound(rows: pd.DataFrame | None) -> None:
    """What tables and tests of the report compute with is numbers."""
    if rows is None or not len(rows):
        return
    assert (rows["seed"].dtype.kind, rows["image_id"].dtype.kind, rows["value"].dtype.kind) == ("i", "i", "f")
    assert np.isfinite(rows["value"]).all()
    assert not rows.duplicated([name for name in scores.LONG if name != "value"]).any()


SPLITS = ",".join(SPLIT) + "\n1,a/b.jpg,0,a/b.png,1.0,2.0,3.0,4.0\n2,a/c.jpg,1,a/c.png,1.5,2.0,3.0,4.0\n"


@given(st.sampled_from(NAMES), EDITS)
def test_damaged_splits(name: str, edits: Edits) -> None:
    with folder() as at:
        for one in NAMES:
            (at / f"{one}.csv").write_text(SPLITS)
        (at / f"{name}.csv").write_bytes(damaged(SPLITS.encode(), edits))
        found = reported(lambda: read_splits(at), at)
        if found is not None:
            assert all(list(frame.columns) == SPLIT for frame in found.values())
            assert all(frame["image_id"].dtype == np.int64 for frame in found.values())
