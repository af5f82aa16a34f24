"""Partial cross-entropy and barrier: hand-computed values and slow loops."""

from __future__ import annotations

import math

import pytest
import torch

from ala.explainers.fcam.losses import barrier_temperature, log_barrier, partial_cross_entropy, size_loss
from ala.explainers.fcam.seeds import IGNORED


def test_partial_cross_entropy_equals_a_loop_over_seeds() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 4, 5, generator=generator, dtype=torch.float64)
    seeds = torch.randint(-1, 2, (3, 4, 5), generator=generator)
    seeds[seeds < 0] = IGNORED
    terms = []
    for b in range(3):
        for y in range(4):
            for x in range(5):
                if seeds[b, y, x] != IGNORED:
                    one = logits[b, :, y, x].exp()
                    terms.append(-math.log(one[seeds[b, y, x]] / one.sum()))
    assert partial_cross_entropy(logits, seeds).item() == pytest.approx(sum(terms) / len(terms), rel=1e-12)


def test_partial_cross_entropy_touches_seeds_only_and_is_zero_without() -> None:
    logits = torch.zeros(1, 2, 3, 3, requires_grad=True)
    seeds = torch.full((1, 3, 3), IGNORED)
    partial_cross_entropy(logits, seeds).backward()
    assert logits.grad is not None
    assert not logits.grad.any()
    seeds[0, 1, 2] = 1
    loss = partial_cross_entropy(logits, seeds)
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()
    assert logits.grad.abs().sum((0, 1)).nonzero().tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("z", "t", "expected"),
    [
        (-math.e, 1.0, -1.0),
        (-1.0, 1.0, 0.0),
        (0.0, 1.0, 1.0),
        (3.0, 1.0, 4.0),
        (-math.e, 2.0, -0.5),
        (-0.25, 2.0, math.log(4) / 2),
        (0.0, 2.0, math.log(4) / 2 + 0.5),
    ],
)
def test_barrier_by_hand(z: float, t: float, expected: float) -> None:
    assert log_barrier(torch.tensor(z, dtype=torch.float64), t).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("t", [1.0, 1.7, 10.0])
def test_barrier_is_smooth_where_its_branches_meet(t: float) -> None:
    edge = -1 / t**2
    z = torch.tensor([edge - 1e-9, edge + 1e-9], dtype=torch.float64, requires_grad=True)
    values = log_barrier(z, t)
    values.sum().backward()
    assert values[0].item() == pytest.approx(values[1].item(), abs=1e-6)
    assert z.grad is not None
    assert z.grad.tolist() == pytest.approx([t, t], rel=1e-5)


def test_barrier_has_a_gradient_everywhere() -> None:
    z = torch.tensor([-1e4, -1.0, 0.0, 5.0], requires_grad=True)
    log_barrier(z, 1.0).sum().backward()
    assert z.grad is not None
    assert z.grad.tolist() == pytest.approx([1e-4, 1.0, 1.0, 1.0])


def test_size_loss_by_hand() -> None:
    # 2 x 3 pixels; image 0 has 4 pixels of background and 2 of foreground, image 1 half and half.
    foreground = torch.tensor([[[1.0, 1, 0], [0, 0, 0]], [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]], dtype=torch.float64)
    probabilities = torch.stack([1 - foreground, foreground], 1)
    background_mean = -(math.log(4) + math.log(3)) / 2
    foreground_mean = -(math.log(2) + math.log(3)) / 2
    expected = (background_mean + foreground_mean) / 2
    assert size_loss(probabilities, 1.0).item() == pytest.approx(expected, rel=1e-12)


def test_size_loss_wants_large_regions() -> None:
    half = torch.full((1, 2, 8, 8), 0.5)
    foreground = torch.full((1, 8, 8), 0.01)
    assert size_loss(half, 1.0) < size_loss(torch.stack([1 - foreground, foreground], 1), 1.0)


def test_temperature_grows_to_its_limit() -> None:
    assert barrier_temperature(0, 1.0, 1.01, 10.0) == 1.0
    assert barrier_temperature(3, 1.0, 1.01, 10.0) == pytest.approx(1.030301)
    assert barrier_temperature(1000, 1.0, 1.01, 10.0) == 10.0
