from __future__ import annotations

import pytest

from ala.training.schedule import learning_rate, phases
from ala.utils.errors import UserError
from tests.training.settings import Schedule


@pytest.mark.parametrize(
    ("schedule", "pattern"),
    [
        (Schedule(), "-+-+-+-"),  # epoch 0 is off, then strictly alternating (METHODS 2.6)
        (Schedule(first="on"), "+-+-+-+"),
        (Schedule(off_epochs=2, on_epochs=1), "--+--+-"),
        (Schedule(off_epochs=1, on_epochs=2), "-++-++-"),
        (Schedule(off_epochs=2, on_epochs=3, first="on"), "+++--++"),
    ],
)
def test_patterns(schedule: Schedule, pattern: str) -> None:
    plan = phases(7, schedule, aea=True)
    assert "".join("+" if epoch.on else "-" for epoch in plan) == pattern
    assert [epoch.index for epoch in plan] == list(range(7))
    assert [epoch.phase for epoch in plan] == ["on" if sign == "+" else "off" for sign in pattern]


def test_without_aea_every_epoch_is_on() -> None:
    assert all(epoch.on for epoch in phases(5, Schedule(off_epochs=3), aea=False))


def test_a_plan_without_on_epoch_is_refused() -> None:
    with pytest.raises(UserError, match=r"train.epochs \(2\) ends before AEA's first on epoch; give at least 3 epochs"):
        phases(2, Schedule(off_epochs=2), aea=True)


def test_learning_rate_decays_by_the_epoch() -> None:
    rates = [learning_rate(0.1, epoch, 10, 0.9) for epoch in range(10)]
    assert rates[0] == 0.1
    assert rates[5] == pytest.approx(0.1 * 0.5**0.9)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0
    assert learning_rate(0.1, 7, 10, 0.0) == 0.1
