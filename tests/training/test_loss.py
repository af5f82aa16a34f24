from __future__ import annotations

import math

import pytest
import torch

from ala.model.adapter import AdapterOutput
from ala.training.loss import objective

PB = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])  # probabilities (1/4, 3/4), (1/2, 1/2)
AB = torch.tensor([[math.log(4.0), 0.0], [0.0, math.log(9.0)]])  # (4/5, 1/5), (1/10, 9/10)
LABELS = torch.tensor([1, 0])


def test_on_and_off_by_hand() -> None:
    perception = -(math.log(3 / 4) + math.log(1 / 2)) / 2
    attention = -(math.log(1 / 5) + math.log(1 / 10)) / 2
    off = objective(AdapterOutput(None, None, PB), LABELS, 1 / 15)
    on = objective(AdapterOutput(torch.zeros(2, 1, 1, 1), AB, PB), LABELS, 1 / 15)
    assert off.item() == pytest.approx(perception)
    assert on.item() == pytest.approx(perception + attention / 15)
