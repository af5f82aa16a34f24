from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ala.contracts.preprocessing import Preprocessing
from ala.encoders import FrozenEncoder, assert_frozen
from ala.utils.errors import UserError


class Doubler(FrozenEncoder):
    """h^(0) = the first two channels at 4 x 4, h^(1) = twice as much; remembers what was asked for."""

    def __init__(self) -> None:
        super().__init__(Preprocessing.named(4, "half"), 4, {0: 2, 1: 2})
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.norm = nn.BatchNorm2d(2)
        self.asked: list[int] = []
        self.freeze()

    def _taps(self, images: Tensor, wanted: list[int]) -> dict[int, Tensor]:
        self.asked = wanted
        return {tap: images[:, :2] * self.weight**tap for tap in wanted}

    def _pooled(self, images: Tensor) -> Tensor:
        return (images * self.weight).mean(dim=(2, 3))

    def description(self) -> dict:
        return {}

    def weights(self) -> dict[str, Tensor]:
        return dict(self.state_dict())


def test_taps_come_by_number_and_without_a_graph():
    encoder, images = Doubler(), torch.randn(3, 3, 4, 4, requires_grad=True)
    taps = encoder.taps(images, {1, 0})
    assert encoder.asked == [0, 1]
    assert torch.equal(taps[1], 2 * images[:, :2])
    assert not any(tap.requires_grad or tap.is_inference() for tap in taps.values())
    assert not encoder.pooled(images).requires_grad
    assert (encoder.n_taps, encoder.last_tap) == (2, 1)


def test_it_runs_in_inference_mode_and_copies_only_where_the_caller_does_not(monkeypatch):
    encoder, images, made = Doubler(), torch.randn(1, 3, 4, 4), []
    taps = encoder._taps

    def noted(x, wanted):
        made.append(taps(x, wanted))
        return made[-1]

    monkeypatch.setattr(encoder, "_taps", noted)
    outside = encoder.taps(images, [1])
    with torch.inference_mode():
        inside = encoder.taps(images, [1])
    assert all(found[1].is_inference() for found in made)
    assert torch.equal(outside[1], made[0][1])
    assert inside[1] is made[1][1]


def test_taps_can_be_trained_on():
    head = nn.Conv2d(2, 1, 1)
    head(Doubler().taps(torch.randn(1, 3, 4, 4), [1])[1]).sum().backward()
    assert head.weight.grad is not None


def test_no_taps_wanted_runs_nothing():
    encoder = Doubler()
    assert encoder.taps(torch.randn(1, 3, 4, 4), []) == {}
    assert encoder.asked == []


def test_train_leaves_it_in_eval_mode_also_inside_another_module():
    encoder = Doubler()
    outer = nn.Sequential(encoder, nn.BatchNorm2d(2)).train()
    assert outer[1].training
    assert not encoder.training
    assert not encoder.norm.training
    assert_frozen(encoder)


def test_an_unknown_tap_is_named():
    with pytest.raises(UserError, match="no tap 5, only 0, 1"):
        Doubler().taps(torch.randn(1, 3, 4, 4), [0, 5])


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (1, 1, 4, 4), (3, 4, 4)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be \(B, 3, 4, 4\)"):
        Doubler().taps(torch.zeros(shape), [0])


def test_assert_frozen_finds_each_way_to_learn():
    encoder = Doubler()
    other = nn.Parameter(torch.zeros(1))
    assert_frozen(encoder, torch.optim.SGD([other], lr=1.0))
    with pytest.raises(AssertionError, match="weight is in the optimiser"):
        assert_frozen(encoder, torch.optim.SGD([other, encoder.weight], lr=1.0))
    encoder.norm.training = True
    with pytest.raises(AssertionError, match="module norm is in training mode"):
        assert_frozen(encoder)
    encoder.eval()
    encoder.weight.grad = torch.zeros(())
    with pytest.raises(AssertionError, match="weight holds a gradient"):
        assert_frozen(encoder)
    encoder.weight.grad = None
    encoder.norm.weight.requires_grad_(True)
    with pytest.raises(AssertionError, match=r"norm\.weight requires a gradient"):
        assert_frozen(encoder)
