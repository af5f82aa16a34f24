"""What frames are made from is prepared once, whoever asks, and not kept for long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from ala.perturbation import Prepared, target_scores

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


class Noted:
    """Says of a photo what its hundredfold is, and notes the photos that it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, photo: int) -> int:
        self.asked.append(photo)
        time.sleep(0.01)
        return 100 * photo


def test_many_threads_ask_and_one_prepares() -> None:
    prepare = Noted()
    prepared = Prepared(8, 2, CPU)
    photos = [0] * 8 + [1] * 8 + [2] * 8
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(partial(prepared, prepare=prepare), photos)) == [100 * photo for photo in photos]
    assert sorted(prepare.asked) == [0, 1, 2]


@pytest.mark.parametrize(
    ("frames", "side", "device", "kept"),
    [(6, 224, "cpu", 3), (2, 224, "cpu", 5), (50, 80, "cpu", 2), (1, 80, "cuda", 2)],
)
def test_the_last_few_are_kept(frames: int, side: int, device: str, kept: int) -> None:
    """Three threads work on 2 frames of side 224, or on 16 of side 80, each; a GPU takes one photo after another."""
    prepare = Noted()
    prepared = Prepared(frames, side, torch.device(device))
    for photo in [*range(kept), 0, kept, 1, 0]:  # one photo more puts 0 out, the oldest
        assert prepared(photo, prepare) == 100 * photo
    assert prepare.asked == [*range(kept), kept, 0]


def test_a_failure_reaches_the_caller_and_is_tried_again() -> None:
    failures = [MemoryError("no")]

    def prepare(photo: int) -> int:
        if failures:
            raise failures.pop()
        return photo

    prepared = Prepared(8, 2, CPU)
    with pytest.raises(MemoryError, match="no"):
        prepared(4, prepare)
    assert prepared(4, prepare) == 4


@pytest.mark.parametrize("count", [1, 3, 16, 40])
def test_photos_prepared_in_lanes_are_those_prepared_one_by_one(count: int) -> None:
    class Frames:
        """Frame f of photo p is filled with 100 p + f, of which 100 p takes its time."""

        side = 2

        def __init__(self) -> None:
            self.count, self.noted = count, Noted()
            self._prepared = Prepared(count, self.side, CPU)

        def fill(self, photo: int, start: int, stop: int, out: Tensor) -> None:
            out[:] = (self._prepared(photo, self.noted) + torch.arange(start, stop)).view(-1, 1, 1, 1)

    frames = Frames()
    found = target_scores(
        lambda images: images.mean(dim=(1, 2, 3))[:, None],
        np.zeros(20, int),
        frames,
        64,
        CPU,
        "test",
        probabilities=False,
    )
    np.testing.assert_array_equal(found, 100 * np.arange(20)[:, None] + np.arange(count))
    assert set(frames.noted.asked) == set(range(20))
    assert len(frames.noted.asked) < 40  # a thread that lags behind may find that its photo is gone
