"""Arithmetic of the estimate, and how numbers are written."""

from __future__ import annotations

import pytest

from ala.plan.calibrate import Rate
from ala.plan.estimate import AROUND, Estimate, lines, total
from ala.plan.tables import amount, duration, notes, table
from ala.plan.work import Work

WORK = [
    Work("data", "check", 10),
    Work("rise", "perturb", 4, "side"),
    Work("rise", "rise", 50, "side"),
    Work("rise", "rise", 50, "side"),  # as two variants with the same network have it
    Work("report", "report", 50),
]
RATES = {("check", ""): Rate(0.5), ("perturb", "side"): Rate(2.0), ("rise", "side"): Rate(0.1, ("perturb", "side"))}


@pytest.fixture
def made():
    return lines(
        WORK, 3, {("perturb", "side"): 1e9, ("rise", "side"): 1e9}, RATES, downloads={"data": 7}, disk={"rise": 5},
        memory={"rise": 100}, process=1000,
    )  # fmt: skip


def test_cells_times_units_times_rates(made):
    data, rise, report = made
    assert (data.cells, data.seconds, data.download_bytes, data.timed) == (1, 5.0, 7, 1.0)
    assert (rise.cells, rise.forwards, rise.flops) == (3, 312, 312e9)
    assert rise.seconds == pytest.approx(3 * (4 * 2 + 100 * 0.1))
    assert rise.timed == pytest.approx(8 / 18)
    assert (rise.disk_bytes, rise.memory_bytes) == (15, 1100)
    assert report.timed == 0  # its rate is assumed


def test_the_sum_has_what_lies_around_the_cells(made):
    whole = total(made)
    assert whole.cells == 5
    assert whole.seconds == pytest.approx(sum(line.seconds for line in made) + 5 * AROUND)
    assert whole.memory_bytes == 1100
    assert whole.forwards == 312


def test_json_and_table_hold_every_stage(made):
    estimate = Estimate("mini", "a device", [0, 1, 2], {"classes": 2}, 19.5, made, RATES)
    found = estimate.as_json()
    assert [line["stage"] for line in found["stages"]] == ["data", "rise", "report"]
    assert found["all"]["stage"] == "all"
    assert {"kind": "rise side", "seconds": 0.1, "like": "perturb side"} in found["kinds"]
    text = table(estimate)
    assert [row.split()[0] for row in text.splitlines()[2:]] == ["data", "rise", "report", "all"]
    assert any("rise side" in note for note in notes(estimate))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min"), (200, "3 min 20 s"), (3600, "1 h"),
     (3599.7, "1 h"), (18600, "5 h 10 min"), (86400 + 3 * 3600, "1 d 3 h"), (7199, "2 h")],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "-"), (7, "7 B"), (1.5e3, "1.5 kB"), (999_700, "1.0 MB"), (1_189_858_222, "1.2 GB"),
                         (12e12, "12 TB")],
)  # fmt: skip
def test_amounts(number, text):
    assert amount(number, "B") == text
