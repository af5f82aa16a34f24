"""The plan beside a real run."""

from __future__ import annotations

import pytest

from ala.utils.errors import UserError
from benchmarks.plan import table

LINES = [
    {"stage": "data", "cells": 1, "seconds": 6.0},
    {"stage": "train", "cells": 2, "seconds": 30.0},
    {"stage": "report", "cells": 1, "seconds": 9.0},
]
REAL = {"data": {"seconds": 5.0}, "train@0": {"seconds": 10.0}, "train@1": {"seconds": 15.0}}


def test_each_stage_beside_what_it_took():
    found = table(LINES, REAL).set_index("stage")
    assert list(found.index) == ["data", "train", "all"]  # the report leaves no record
    assert found["ratio"].tolist() == [1.2, 1.2, 1.2]
    assert found.loc["all", ["cells", "estimated_s", "real_s"]].tolist() == [3, 36.0, 30.0]


def test_another_number_of_seeds_is_refused():
    with pytest.raises(UserError, match=r"2 cells of train, reports/provenance\.json has 1"):
        table(LINES, {"data": {"seconds": 5.0}, "train@0": {"seconds": 10.0}})
