"""Splits of any lists: disjoint, complete, exact counts, and blind to the order of rows and to other classes."""

from __future__ import annotations

import tempfile
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from ala.data.cub import CubIndex
from ala.data.split import NAMES, read_splits, split, write_splits
from tests.fuzz.told import fewer, told

ROOT = Path("data/of/nobody")
NAME = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=6)


@st.composite
def indexes(draw: st.DrawFn) -> CubIndex:
    """Up to four classes with up to five training and three test photos each; ids are not in order."""
    counts = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=4))
    rows = [(label, train) for label, pair in enumerate(counts) for train in (1, 0) for _ in range(pair[1 - train])]
    ids = draw(st.lists(st.integers(0, 10**18 - 1), min_size=len(rows), max_size=len(rows), unique=True))
    names = draw(st.lists(NAME, min_size=len(rows), max_size=len(rows)))
    paths = [f"{label}/{name}{at}" for at, (name, (label, _)) in enumerate(zip(names, rows, strict=True))]
    frame = pd.DataFrame({
        "image_id": np.array(ids, np.int64), "path": paths,
        "class_id0": np.array([label for label, _ in rows], np.int64), "class_name": [f"c{label}" for label, _ in rows],
        "is_train": np.array([train == 1 for _, train in rows], bool),
        **{side: np.array(draw(st.lists(st.floats(0, 1e6), min_size=len(rows), max_size=len(rows))), np.float64)
           for side in ("x", "y", "width", "height")},
        "mask_path": [f"{at}.png" for at in range(len(rows))],
    })  # fmt: skip
    return CubIndex(ROOT, ROOT, [f"c{label}" for label in range(len(counts))], frame)


@fewer
@given(indexes(), st.integers(0, 2**63 - 1), st.integers(1, 4), st.randoms(use_true_random=False))
def test_splits_are_exact(index: CubIndex, seed: int, per_class: int, random: object) -> None:
    frame = index.frame
    parts = told(lambda: split(index, seed, per_class), ROOT)
    counts = {flag: np.bincount(frame["class_id0"][frame["is_train"] == flag], minlength=len(index.classes))
              for flag in (True, False)}  # fmt: skip
    possible = bool((counts[True] > per_class).all() and (counts[False] > 0).all())
    assert (parts is not None) == possible
    if parts is None:
        return
    ids = {name: parts[name]["image_id"].tolist() for name in NAMES}
    assert sorted(chain(*ids.values())) == sorted(frame["image_id"])  # all of them, each once
    assert all(one == sorted(one) for one in ids.values())
    assert set(ids["test"]) == set(frame.loc[~frame["is_train"], "image_id"])
    assert (np.bincount(parts["train"]["label"], minlength=len(index.classes)) == per_class).all()
    assert (np.bincount(parts["val"]["label"], minlength=len(index.classes)) == counts[True] - per_class).all()

    at = np.arange(len(frame))
    random.shuffle(at)  # type: ignore[attr-defined]
    mixed = split(CubIndex(ROOT, ROOT, index.classes, frame.iloc[at]), seed, per_class)
    assert all(mixed[name].equals(parts[name]) for name in NAMES)
    first = frame[frame["class_id0"] == 0]
    alone = split(
        CubIndex(ROOT, ROOT, index.classes[:1], first), seed, per_class
    )  # other classes draw from other seeds
    assert alone["train"]["image_id"].tolist() == parts["train"].query("label == 0")["image_id"].tolist()


@fewer
@given(indexes())
def test_splits_come_back_as_they_were(index: CubIndex) -> None:
    parts = told(lambda: split(index, 0, 1), ROOT)
    if parts is not None:
        with tempfile.TemporaryDirectory() as folder:
            write_splits(Path(folder) / "splits", parts)
            back = read_splits(Path(folder) / "splits")
        for name in NAMES:
            pd.testing.assert_frame_equal(back[name], parts[name], check_exact=True)
