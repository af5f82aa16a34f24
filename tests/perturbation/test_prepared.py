"""What perturbed images are made from is prepared once, whoever calls, and not kept for long."""

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
    """Says of an image what its hundredfold is, and notes the images that it was requested."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, index: int) -> int:
        self.asked.append(index)
        time.sleep(0.01)
        return 100 * index


def test_many_threads_call_and_one_prepares() -> None:
    prepare = Noted()
    prepared = Prepared(8, 2, CPU)
    images = [0] * 8 + [1] * 8 + [2] * 8
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(partial(prepared, prepare=prepare), images)) == [100 * image for image in images]
    assert sorted(prepare.asked) == [0, 1, 2]


@pytest.mark.parametrize(
    ("perturbed", "image_size", "device", "kept"),
    [(6, 224, "cpu", 3), (2, 224, "cpu", 5), (50, 80, "cpu", 2), (1, 80, "cuda", 2)],
)
def test_the_last_few_are_kept(perturbed: int, image_size: int, device: str, kept: int) -> None:
    """Three threads work on 2 perturbed images of size 224, or on 16 of size 80, each.

    A GPU takes one image after another.
    """
    prepare = Noted()
    prepared = Prepared(perturbed, image_size, torch.device(device))
    for index in [*range(kept), 0, kept, 1, 0]:  # one image more puts 0 out, the oldest
        assert prepared(index, prepare) == 100 * index
    assert prepare.asked == [*range(kept), kept, 0]


def test_a_failure_reaches_the_caller_and_is_tried_again() -> None:
    failures = [MemoryError("no")]

    def prepare(index: int) -> int:
        if failures:
            raise failures.pop()
        return index

    prepared = Prepared(8, 2, CPU)
    with pytest.raises(MemoryError, match="no"):
        prepared(4, prepare)
    assert prepared(4, prepare) == 4


@pytest.mark.parametrize("count", [1, 3, 16, 40])
def test_images_prepared_in_lanes_are_those_prepared_one_by_one(count: int) -> None:
    class PerturbedImages:
        """Perturbed image f of image p is filled with 100 p + f, of which 100 p takes its time."""

        image_size = 2

        def __init__(self) -> None:
            self.count, self.noted = count, Noted()
            self._prepared = Prepared(count, self.image_size, CPU)

        def fill(self, index: int, start: int, stop: int, out: Tensor) -> None:
            out[:] = (self._prepared(index, self.noted) + torch.arange(start, stop)).view(-1, 1, 1, 1)

    perturbed = PerturbedImages()
    found = target_scores(
        lambda images: images.mean(dim=(1, 2, 3))[:, None],
        np.zeros(20, int),
        perturbed,
        64,
        CPU,
        "test",
        probabilities=False,
    )
    np.testing.assert_array_equal(found, 100 * np.arange(20)[:, None] + np.arange(count))
    assert set(perturbed.noted.asked) == set(range(20))
    assert len(perturbed.noted.asked) < 40  # a thread that lags behind may find that its image is gone
