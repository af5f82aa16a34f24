"""Networks made without drawing weights are those that were drawn, once the weights are replaced."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ala.runtime.undrawn import Undrawn

import ala.runtime.timm_import  # noqa: F401  # isort: skip
import timm  # isort: skip


class Mixed(nn.Module):
    """Every way in which layers get numbers: their own start, nn.init, methods, functions, and none at random."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.norm = nn.BatchNorm2d(4)
        self.embed = nn.Embedding(5, 4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.scaled = nn.Parameter(0.02 * torch.randn(2, 4))
        self.shifted = nn.Parameter(torch.rand(2, generator=torch.Generator().manual_seed(0)) + 1)
        self.drawn = nn.Parameter(torch.empty(4).normal_())
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.xavier_uniform_(tensor=self.embed.weight)
        self.register_buffer("mask", torch.full((3, 3), -1.0).triu_(1), persistent=False)


def build(name: str) -> nn.Module:
    return Mixed() if name == "mixed" else timm.create_model(name, pretrained=False)


@pytest.mark.parametrize("name", ["mixed", "test_resnet", "test_vit"])
def test_the_same_network_and_no_number_drawn(name):
    drawn = build(name)
    before = torch.get_rng_state()
    with Undrawn():
        made = build(name)
    assert torch.equal(torch.get_rng_state(), before)
    assert type(made) is type(drawn)
    own, theirs = made.state_dict(), drawn.state_dict()
    assert {key: (value.shape, value.dtype, value.device) for key, value in own.items()} == {
        key: (value.shape, value.dtype, value.device) for key, value in theirs.items()
    }
    for key, buffer in drawn.named_buffers():
        if key not in theirs:
            assert torch.equal(dict(made.named_buffers())[key], buffer), key
    assert [p.requires_grad for p in made.parameters()] == [p.requires_grad for p in drawn.parameters()]
    if name != "mixed":
        made.load_state_dict(theirs)
        images = torch.rand(2, 3, 160, 160)
        with torch.no_grad():
            assert torch.equal(made.eval()(images), drawn.eval()(images))


def test_outside_of_it_weights_are_drawn():
    with Undrawn():
        pass
    torch.manual_seed(0)
    first = nn.Linear(3, 4).weight
    torch.manual_seed(1)
    assert not torch.equal(nn.Linear(3, 4).weight, first)
    assert torch.randn(1000).std() == pytest.approx(1, abs=0.1)
