"""Ctrl-C and SIGTERM end a command with a sentence; finished shards and epochs are on the disk by then."""

from __future__ import annotations

import os
import signal

import pytest

from ala.utils.errors import reported


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_in_words(number, capfd, request):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores SIGINT
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with pytest.raises(SystemExit) as stop, reported():  # noqa: PT012 - the signal comes in the middle
        os.kill(os.getpid(), number)
        pytest.fail("went on")
    assert stop.value.code == 130
    said = capfd.readouterr().err
    assert "stopped; run the same command to go on from what was kept" in said
    assert "Traceback" not in said


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with reported():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_forked_worker_dies_of_the_signal():
    with reported():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(7)  # not reached
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
