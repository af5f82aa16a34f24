"""A batch in parts has the answers of the whole batch."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from ala.runtime.threads import SMALLEST, in_parts


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


class Spy:
    """A model that notes the parts it was called with, and by whom."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(5)).eval()
        with torch.no_grad():
            self.net(torch.zeros(1, 3, 8, 8))
        self.calls: list[tuple[int, str, int, bool]] = []

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.calls.append(
            (len(images), threading.current_thread().name, torch.get_num_threads(), torch.is_inference_mode_enabled())
        )
        return self.net(images).softmax(-1)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_parts_give_the_answers_of_the_whole(context):
    spy, images = Spy(), torch.randn(3 * SMALLEST + 5, 3, 8, 8)
    with context():
        expected = spy.net(images).softmax(-1)
        found = in_parts(spy, images)
        inference = torch.is_inference_mode_enabled()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert sorted(call[0] for call in spy.calls) == [17, 18, 18]
    assert all(call[1] != threading.current_thread().name for call in spy.calls)
    assert [call[2:] for call in spy.calls] == [(1, inference)] * 3
    assert torch.get_num_threads() == 3


def test_a_thread_that_begins_later_has_the_callers_number():
    with torch.no_grad():
        in_parts(Spy(), torch.zeros(2 * SMALLEST, 3, 8, 8))
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [3]


@pytest.mark.parametrize("count", [1, 2 * SMALLEST - 1])
def test_few_images_stay_together(count):
    spy = Spy()
    with torch.no_grad():
        in_parts(spy, torch.zeros(count, 3, 8, 8))
    assert [call[:2] for call in spy.calls] == [(count, threading.current_thread().name)]


def test_a_graph_is_kept():
    spy = Spy()
    images = torch.randn(4 * SMALLEST, 3, 8, 8, requires_grad=True)
    in_parts(spy, images).sum().backward()
    assert images.grad is not None
    assert len(spy.calls) == 1


def test_an_error_in_a_part_reaches_the_caller():
    def broken(images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no answer")

    with torch.no_grad(), pytest.raises(RuntimeError, match="no answer"):
        in_parts(broken, torch.zeros(2 * SMALLEST, 3, 8, 8))
