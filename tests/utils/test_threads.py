"""A batch in lanes has the predictions of the whole batch, and the same bytes for any batch and number of threads."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from ala.utils.threads import in_lanes, lane, whole_lanes

IMAGE_SIZE = 80
LANE = 16  # images of this size


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
        self.net = nn.Sequential(nn.Conv2d(3, 4, 9, stride=9), nn.Flatten(), nn.LazyLinear(5)).eval()
        with torch.no_grad():
            self.net(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE))
        self.calls: list[tuple[int, str, int, bool]] = []

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.calls.append(
            (len(images), threading.current_thread().name, torch.get_num_threads(), torch.is_inference_mode_enabled())
        )
        return self.net(images).softmax(-1)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_lanes_give_the_predictions_of_the_whole(context):
    spy, images = Spy(), torch.randn(3 * LANE + 5, 3, IMAGE_SIZE, IMAGE_SIZE)
    with context():
        expected = spy.net(images).softmax(-1)
        found = in_lanes(spy, images)
        inference = torch.is_inference_mode_enabled()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert [call[0] for call in spy.calls] == [LANE] * 4  # the last one is filled up
    assert all(call[1] != threading.current_thread().name for call in spy.calls)
    assert [call[2:] for call in spy.calls] == [(1, inference)] * 4
    assert torch.get_num_threads() == 3


def test_a_lane_is_filled_by_the_thread_that_scores_it():
    spy, images, filled = Spy(), torch.full((3 * LANE + 5, 3, IMAGE_SIZE, IMAGE_SIZE), torch.nan), []

    def fill(start: int, stop: int) -> None:
        filled.append((start, stop, threading.current_thread().name))
        images[start:stop] = torch.arange(start, stop).view(-1, 1, 1, 1) / 50

    with torch.inference_mode():
        found = in_lanes(spy, images, fill)
        expected = spy.net(torch.arange(len(images)).view(-1, 1, 1, 1).expand_as(images) / 50).softmax(-1)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert sorted(part[:2] for part in filled) == [(0, 16), (16, 32), (32, 48), (48, 53)]
    assert sorted(part[2] for part in filled) == sorted(call[1] for call in spy.calls)
    with torch.enable_grad():  # without lanes
        filled.clear()
        in_lanes(spy, images, fill)
    assert filled == [(0, 53, threading.current_thread().name)]


@pytest.mark.parametrize("batch", [LANE, 2 * LANE, 5 * LANE])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_batch_and_threads_change_no_byte(batch, threads):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 32, 10, stride=10),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(32 * 64, 96),
        nn.LayerNorm(96),
        nn.Linear(96, 7),
    ).eval()
    images = torch.randn(5 * LANE - 3, 3, IMAGE_SIZE, IMAGE_SIZE)
    torch.set_num_threads(1)  # a lane runs on one thread; some CPUs round a product of several in another way
    with torch.no_grad():
        expected = torch.cat(
            [net(lane) for lane in torch.cat([images, torch.zeros(3, 3, IMAGE_SIZE, IMAGE_SIZE)]).split(LANE)]
        )
        torch.set_num_threads(threads)
        found = torch.cat([in_lanes(net, some) for some in images.split(batch)])
    assert torch.equal(found, expected[: len(images)])


def test_a_thread_that_begins_later_has_the_callers_number():
    with torch.no_grad():
        in_lanes(Spy(), torch.zeros(2 * LANE, 3, IMAGE_SIZE, IMAGE_SIZE))
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [3]


def test_on_one_thread_the_caller_does_it_all():
    spy = Spy()
    torch.set_num_threads(1)
    with torch.no_grad():
        assert in_lanes(spy, torch.zeros(LANE + 1, 3, IMAGE_SIZE, IMAGE_SIZE)).shape == (LANE + 1, 5)
        assert in_lanes(spy, torch.zeros(0, 3, IMAGE_SIZE, IMAGE_SIZE)).shape == (0, 5)
    assert [call[:2] for call in spy.calls] == [(size, threading.current_thread().name) for size in (LANE, LANE, 0)]


def test_batches_of_a_cpu_are_whole_lanes():
    assert [whole_lanes(batch, IMAGE_SIZE, torch.device("cpu")) for batch in (1, 15, 16, 17, 64)] == [
        16,
        16,
        16,
        32,
        64,
    ]
    assert whole_lanes(17, 224, torch.device("cpu")) == 18
    assert whole_lanes(17, IMAGE_SIZE, torch.device("cuda")) == 17


def test_lanes_have_about_as_many_pixels():
    assert [lane(image_size) for image_size in (8, 40, 80, 96, 160, 224, 384, 1000)] == [16, 16, 16, 8, 4, 2, 1, 1]


def test_a_graph_is_kept():
    spy = Spy()
    images = torch.randn(4 * LANE, 3, IMAGE_SIZE, IMAGE_SIZE, requires_grad=True)
    in_lanes(spy, images).sum().backward()
    assert images.grad is not None
    assert len(spy.calls) == 1


def test_an_error_in_a_part_reaches_the_caller():
    def broken(images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no answer")

    with torch.no_grad(), pytest.raises(RuntimeError, match="no answer"):
        in_lanes(broken, torch.zeros(2 * LANE, 3, IMAGE_SIZE, IMAGE_SIZE))
