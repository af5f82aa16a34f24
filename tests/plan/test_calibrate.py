"""The calibration: within its budget, the important first, the rest by FLOPs. The clock is the test's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ala.plan.calibrate import Job, Rate, calibrate
from ala.utils.errors import UserError


class Device:
    """A device that takes `pace` seconds per FLOP, and a clock that shows it."""

    def __init__(self, pace: float) -> None:
        self.pace, self.now = pace, 0.0
        self.calls: list[tuple[tuple[str, str], int]] = []

    def clock(self) -> float:
        return self.now

    def job(self, verb: str, model: str, units: int, flops: float, slower: float = 1, largest: int = 256) -> Job:
        def make() -> Callable[[int], float]:
            def timed(n: int) -> float:
                self.calls.append(((verb, model), n))
                self.now += n * flops * self.pace * slower
                return flops * self.pace * slower

            return timed

        return Job((verb, model), units, flops, 1, largest, make)


def test_everything_is_timed_where_there_is_time():
    device = Device(1e-11)
    jobs = [device.job("perturb", "side", 1000, 1e9), device.job("train on", "side", 500, 3e9, slower=2)]
    found = calibrate(jobs, 100, device.clock)
    assert found[("perturb", "side")] == Rate(pytest.approx(0.01))
    assert found[("train on", "side")] == Rate(pytest.approx(0.06))


@pytest.mark.parametrize("pace", [1e-12, 1e-11, 1e-10])
def test_the_budget_holds(pace):
    device = Device(pace)
    jobs = [device.job("perturb", f"m{i}", 10_000, 1e10 * (1 + i)) for i in range(12)]
    calibrate(jobs, 20, device.clock)
    assert device.now <= 20


def test_a_device_that_is_far_too_slow_times_one_thing_and_tells_the_rest_by_flops():
    device = Device(1e-8)
    jobs = [device.job("perturb", "side", 10, 1e10), device.job("perturb", "single", 1000, 5e9)]
    found = calibrate(jobs, 20, device.clock)
    assert device.calls == [(("perturb", "single"), 1)]  # most FLOPs in the whole run
    assert found[("perturb", "side")] == Rate(pytest.approx(100), like=("perturb", "single"))


def test_small_networks_are_given_many_images_from_the_start():
    device = Device(1e-11)
    calibrate([device.job("perturb", "side", 10, 1e7)], 20, device.clock)
    assert device.calls[0][1] == 200
    assert device.calls[-1][1] == 256


def test_the_same_work_is_timed_once():
    device = Device(1e-11)
    jobs = [device.job("encode", "side", 1000, 1e9), device.job("encode", "abn-9", 500, 1.001e9)]
    found = calibrate(jobs, 20, device.clock)
    assert {kind for kind, _ in device.calls} == {("encode", "side")}
    assert found[("encode", "abn-9")] == found[("encode", "side")]


def test_training_is_told_from_training():
    device = Device(1e-9)
    jobs = [
        device.job("perturb", "side", 1000, 4e9, largest=1),
        device.job("train on", "side", 900, 4e9, slower=3, largest=1),
        device.job("train on", "single", 1, 4e10),
    ]
    found = calibrate(jobs, 20, device.clock)
    assert found[("train on", "single")] == Rate(pytest.approx(120), like=("train on", "side"))


def test_no_time_at_all_is_an_error_that_says_what_to_do():
    device = Device(1e-11)
    with pytest.raises(UserError, match="0 seconds are too few to time perturb side; give --seconds 20"):
        calibrate([device.job("perturb", "side", 1, 1e9)], 0, device.clock)
