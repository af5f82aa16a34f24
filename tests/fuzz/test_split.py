"""Splits of any lists: disjoint, complete, exact counts, and blind to the order of rows and to other classes."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from ala.data.index import Entry, Index
from ala.data.split import NAMES, read_splits, split, write_splits
from tests.fuzz.reported import fewer, reported

ROOT = Path("data/of/nobody")
NAME = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=6)


@st.composite
def indexes(draw: st.DrawFn) -> Index:
    """Up to four classes with up to five training and three test images each; ids are not in order."""
    counts = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=4))
    rows = [(label, train) for label, pair in enumerate(counts) for train in (1, 0) for _ in range(pair[1 - train])]
    ids = draw(st.lists(st.integers(0, 10**18 - 1), min_size=len(rows), max_size=len(rows), unique=True))
    names = draw(st.lists(NAME, min_size=len(rows), max_size=len(rows)))
    entries = [
        Entry(key, f"{label}/{name}{at}", label, "train" if train else "test")
        for at, (key, name, (label, train)) in enumerate(zip(ids, names, rows, strict=True))
    ]
    return Index(ROOT, ROOT, {label: f"c{label}" for label in range(len(counts))}, entries, ROOT)


@fewer
@given(indexes(), st.integers(0, 2**63 - 1), st.integers(1, 4), st.randoms(use_true_random=False))
def test_splits_are_exact(index: Index, seed: int, per_class: int, random: object) -> None:
    if not index.entries:
        return
    parts = reported(lambda: split(index, seed, per_class), ROOT)
    counts = {
        name: np.array(
            [sum((one.class_id, one.split) == (key, name) for one in index.entries) for key in index.classes]
        )
        for name in ("train", "test")
    }
    possible = bool((counts["train"] > per_class).all() and (counts["test"] > 0).all())
    assert (parts is not None) == possible
    if parts is None:
        return
    ids = {name: parts[name]["image_id"].tolist() for name in NAMES}
    assert sorted(chain(*ids.values())) == sorted(one.image_id for one in index.entries)  # all of them, each once
    assert all(one == sorted(one) for one in ids.values())
    assert set(ids["test"]) == {one.image_id for one in index.entries if one.split == "test"}
    assert (np.bincount(parts["train"]["label"], minlength=len(index.classes)) == per_class).all()
    assert (np.bincount(parts["val"]["label"], minlength=len(index.classes)) == counts["train"] - per_class).all()

    mixed = list(index.entries)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert all(part.equals(parts[name]) for name, part in split(replace(index, entries=mixed), seed, per_class).items())
    first = [one for one in index.entries if one.class_id == 0]
    alone = split(replace(index, classes={0: "c0"}, entries=first), seed, per_class)  # other classes have other seeds
    assert alone["train"]["image_id"].tolist() == parts["train"].query("label == 0")["image_id"].tolist()


@fewer
@given(indexes())
def test_splits_come_back_as_they_were(index: Index) -> None:
    parts = reported(lambda: split(index, 0, 1), ROOT) if index.entries else None
    if parts is not None:
        with tempfile.TemporaryDirectory() as folder:
            write_splits(Path(folder) / "splits", parts)
            back = read_splits(Path(folder) / "splits")
        for name in NAMES:
            pd.testing.assert_frame_equal(back[name], parts[name], check_exact=True)
