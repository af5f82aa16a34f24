"""The table of a cold run: each stage's own work, and what lies around it."""

from __future__ import annotations

import pytest

from ala.utils.errors import UserError
from benchmarks.wall_time import AROUND, BEFORE, PEAK, table

MARKS = [("data", 50.0), ("train@0", 60.0), ("train@1", 72.0), ("layers@0", 85.0), ("end", 100.0)]
WORK = {"data": 7.0, "train@0": 10.0, "train@1": 11.0, "layers@0": 12.5, "report": 3.0}


def test_every_stage_has_a_row_and_nothing_is_lost():
    found = table(MARKS, WORK, 180.0).set_index("stage")
    assert list(found.index) == ["data", "train", "layers", AROUND, BEFORE, "all", PEAK]
    assert found.drop(PEAK)["seconds"].to_dict() == {
        "data": 7.0, "train": 21.0, "layers": 12.5, AROUND: 9.5, BEFORE: 50.0, "all": 100.0,
    }  # fmt: skip
    assert found["cells"].dropna().tolist() == [1, 2, 1, 4, 0, 4]
    assert found.drop("all")["seconds"].sum() == pytest.approx(100)
    assert found["gflop_per_s"].dropna().to_dict() == {PEAK: 180.0}


def test_a_cell_without_a_record_is_named():
    with pytest.raises(UserError, match="train@1"):
        table(MARKS, {name: seconds for name, seconds in WORK.items() if name != "train@1"}, 1.0)
