"""The first signal waits for the unit, the second does not; without units the first does not either."""

from __future__ import annotations

import os
import signal

import pytest

from ala.utils import interrupt
from ala.utils.errors import reported


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_the_unit_finish(number, capfd):
    done = []
    with pytest.raises(SystemExit) as stop, reported():  # noqa: PT012 - the signal comes in the middle
        interrupt.begin()
        for unit in range(5):
            if unit == 2:
                os.kill(os.getpid(), number)
            done.append(unit)
            interrupt.checkpoint(f"epoch {unit} of 5")
    assert stop.value.code == 130
    assert done == [0, 1, 2]
    assert not interrupt.requested()  # what comes after the block was not asked to stop
    said = capfd.readouterr().err
    assert "once more stops at once" in said
    assert "stopped after epoch 2 of 5; run the same command to go on" in said
    assert "Traceback" not in said


def test_the_second_signal_stops_at_once():
    done = []
    with pytest.raises(SystemExit) as stop, reported():  # noqa: PT012 - the signal comes in the middle
        interrupt.begin()
        os.kill(os.getpid(), signal.SIGINT)
        done.append(1)
        os.kill(os.getpid(), signal.SIGINT)
        done.append(2)
    assert stop.value.code == 130
    assert done == [1]


@pytest.mark.parametrize("ended", [True, False])
def test_without_units_the_first_signal_stops_at_once(ended, capfd):
    with pytest.raises(SystemExit) as stop, reported():  # noqa: PT012 - the signal comes in the middle
        if ended:
            interrupt.begin()
            interrupt.end()
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("went on")
    assert stop.value.code == 130
    assert "run the same command" in capfd.readouterr().err


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with reported():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_forked_worker_dies_of_the_signal():
    with reported():
        interrupt.begin()
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(7)  # not reached
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        assert not interrupt.requested()
