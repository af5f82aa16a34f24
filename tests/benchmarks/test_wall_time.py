"""The table of a cold run: each stage's own work, and what lies around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ala.utils.errors import UserError
from benchmarks.wall_time import AROUND, BEFORE, PEAK, flops, table

MARKS = [("data", 50.0), ("train@0", 60.0), ("train@1", 72.0), ("layers@0", 85.0), ("end", 100.0)]
WORK = {"data": 7.0, "train@0": 10.0, "train@1": 11.0, "layers@0": 12.5, "report": 3.0}


def test_every_stage_has_a_row_and_nothing_is_lost():
    found = table(MARKS, WORK, {"train": 0.5, "layers": 1.0}, 180.0).set_index("stage")
    assert list(found.index) == ["data", "train", "layers", AROUND, BEFORE, "all", PEAK]
    assert found.drop(PEAK)["seconds"].to_dict() == {
        "data": 7.0, "train": 21.0, "layers": 12.5, AROUND: 9.5, BEFORE: 50.0, "all": 100.0,
    }  # fmt: skip
    assert found["cells"].dropna().tolist() == [1, 2, 1, 4, 0, 4]
    assert found.drop("all")["seconds"].sum() == pytest.approx(100)
    assert found["tflop"].dropna().to_dict() == {"train": 1.0, "layers": 1.0, "all": 2.0}
    assert found["gflop_per_s"].dropna().to_dict() == {"train": 48.0, "layers": 80.0, "all": 20.0, PEAK: 180.0}


def test_flops_of_the_miniature():
    """20,040 images of RISE in a cell, 92 MFLOP each by hand (blocks, projections, convolutions), within a tenth."""
    found = flops(Path("params.yaml"))
    assert found["rise"] == pytest.approx(20_040 * 92e6 / 1e12, rel=0.1)
    assert "report" not in found


def test_a_cell_without_a_record_is_named():
    with pytest.raises(UserError, match="train@1"):
        table(MARKS, {name: seconds for name, seconds in WORK.items() if name != "train@1"}, {}, 1.0)
