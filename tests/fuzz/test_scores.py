"""Score tables, splits and seals: what was written comes back, and whatever was done to it since is told."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ala.contracts import scores
from ala.contracts.seal import SEAL, check, seal
from ala.data.split import COLUMNS as SPLIT
from ala.data.split import NAMES, read_splits
from tests.fuzz.damage import EDITS, Edits, damaged
from tests.fuzz.told import fewer, told

NUMBERS = st.floats(allow_nan=True, allow_infinity=False)
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
    some = st.lists(NUMBERS, min_size=n, max_size=n)
    columns: dict[str, Any] = {name: draw(some) for name in scores.COLUMNS}
    for name in ("seed", "label", "target"):
        columns[name] = draw(st.lists(st.integers(0, 2**40), min_size=n, max_size=n))
    columns["image_id"] = draw(st.lists(st.integers(0, 2**60), min_size=n, max_size=n, unique=True))
    columns["method"] = draw(st.lists(st.sampled_from(["ala", "rise", "box"]), min_size=n, max_size=n))
    columns["correct"] = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    for name in scores.FLAGS:
        columns[name] = pd.array(draw(st.lists(st.none() | st.booleans(), min_size=n, max_size=n)), dtype="boolean")
    return pd.DataFrame(columns)[scores.COLUMNS]


@fewer
@given(tables())
def test_scores_keep_every_bit(rows: pd.DataFrame) -> None:
    with folder() as at:
        scores.save(rows, at / "scores.csv")
        back, first = scores.load(at / "scores.csv"), (at / "scores.csv").read_bytes()
        scores.save(back, at / "scores.csv")
        assert (at / "scores.csv").read_bytes() == first
    pd.testing.assert_frame_equal(back, rows, check_exact=True)


SCORES = ",".join(scores.COLUMNS) + "\nrise,0,3,1,1,True,0.5,0.25,0.125,0.5,False,False,,True,0.75,0.5,0.25\n"


@given(EDITS)
@example([("cut", 0.0, b"x")])
def test_damaged_scores(edits: Edits) -> None:
    with folder() as at:
        path = at / "scores.csv"
        path.write_bytes(damaged(SCORES.encode(), edits))
        is_sound(told(lambda: scores.load(path), path))


@given(st.dictionaries(st.sampled_from(scores.COLUMNS), CELLS, max_size=3), st.booleans())
def test_scores_of_other_kinds(changes: dict[str, str], twice: bool) -> None:
    head, row, *_ = SCORES.split("\n")
    cells = dict(zip(scores.COLUMNS, row.split(","), strict=True)) | changes
    with folder() as at:
        path = at / "scores.csv"
        path.write_text("\n".join([head, ",".join(cells.values()), row if twice else "", ""]), encoding="utf-8")
        is_sound(told(lambda: scores.load(path), path))


def is_sound(rows: pd.DataFrame | None) -> None:
    """What tables and tests of the report compute with is numbers."""
    if rows is None:
        return
    for name in ("seed", "image_id", "label", "target"):
        assert rows[name].dtype.kind == "i", name
    for name in ("iou_mean_std", "iou_fixed", "iou_otsu", "iou_val", "insertion", "deletion", "id"):
        assert rows[name].dtype.kind == "f", name
        assert not np.isinf(rows[name]).any(), name
    assert rows["correct"].dtype == bool
    assert not rows.duplicated(["method", "seed", "image_id"]).any()


SPLITS = ",".join(SPLIT) + "\n1,a/b.jpg,0,a/b.png,1.0,2.0,3.0,4.0\n2,a/c.jpg,1,a/c.png,1.5,2.0,3.0,4.0\n"


@given(st.sampled_from(NAMES), EDITS)
def test_damaged_splits(name: str, edits: Edits) -> None:
    with folder() as at:
        for one in NAMES:
            (at / f"{one}.csv").write_text(SPLITS)
        (at / f"{name}.csv").write_bytes(damaged(SPLITS.encode(), edits))
        found = told(lambda: read_splits(at), at)
        if found is not None:
            assert all(list(frame.columns) == SPLIT for frame in found.values())
            assert all(frame["image_id"].dtype == np.int64 for frame in found.values())


FILES = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0\n"), min_size=1, max_size=8).filter(
        lambda name: name not in (".", "..", SEAL)
    ),
    st.binary(max_size=20), min_size=1, max_size=4,
)  # fmt: skip


def sealed(at: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (at / name).write_bytes(content)
    seal(at)


@given(FILES)
@example({"a\u2028b": b"", " ": b"x"})
def test_a_sealed_folder_passes(files: dict[str, bytes]) -> None:
    with folder() as at:
        sealed(at, files)
        assert told(lambda: check(at, "make it") or True, at)


@given(FILES, st.data())
def test_any_change_breaks_the_seal(files: dict[str, bytes], data: st.DataObject) -> None:
    with folder() as at:
        sealed(at, files)
        name = data.draw(st.sampled_from(sorted(files)))
        new = data.draw(st.none() | st.binary(max_size=20))
        assume(new != files[name])
        (at / name).unlink() if new is None else (at / name).write_bytes(new)
        assert told(lambda: check(at, "make it") or True, at) is None


@given(st.binary(max_size=100) | EDITS)
def test_a_damaged_seal(content: bytes | Edits) -> None:
    with folder() as at:
        sealed(at, {"a.csv": b"1", "b.csv": b"2"})
        before = (at / SEAL).read_bytes()
        after = content if isinstance(content, bytes) else damaged(before, content)
        (at / SEAL).write_bytes(after)
        found = told(lambda: check(at, "make it") or True, at)
        assert found is None or after.split() == before.split()
