from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from ala.config.schema import PerceptionSettings
from ala.model.perception_branch import PerceptionBranch


def first_input(branch: PerceptionBranch, *args: torch.Tensor | None) -> torch.Tensor:
    """What the first convolution is given."""
    seen: list[torch.Tensor] = []
    handle = branch.convs[0][0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    branch(*args)
    handle.remove()
    return seen[0]


@pytest.fixture
def h() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 6, 5, 5)


def test_combine(perception: PerceptionSettings, h: torch.Tensor) -> None:
    alpha = torch.rand(2, 1, 5, 5)
    plain = PerceptionBranch(6, 3, perception, None).eval()
    torch.testing.assert_close(first_input(plain, h, alpha), alpha * h)
    torch.testing.assert_close(first_input(plain, h, None), h)  # off epoch: alpha = 1, the raw feature
    residual = PerceptionBranch(6, 3, perception.model_copy(update={"combine": "one_plus_alpha"}), None).eval()
    torch.testing.assert_close(first_input(residual, h, alpha), (1 + alpha) * h)
    torch.testing.assert_close(first_input(residual, h, None), 2 * h)  # alpha = 1 there too
    torch.testing.assert_close(first_input(plain, h, None), first_input(plain, h, torch.ones(2, 1, 5, 5)))


def test_alpha_of_another_grid_is_resized(perception: PerceptionSettings, h: torch.Tensor) -> None:
    alpha = torch.rand(2, 1, 10, 10)
    at_5 = nn.functional.interpolate(alpha, (5, 5), mode="bilinear", align_corners=False)
    torch.testing.assert_close(first_input(PerceptionBranch(6, 3, perception, None).eval(), h, alpha), at_5 * h)


def test_clip_plus_sbn_adds_projected_tokens(perception: PerceptionSettings, h: torch.Tensor) -> None:
    both = perception.model_copy(update={"inputs": "clip+sbn"})
    branch = PerceptionBranch(6, 3, both, 8).eval()
    assert branch.join is not None
    alpha, pixels = torch.rand(2, 1, 5, 5), torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(first_input(branch, h, alpha, pixels), alpha * h + branch.join(pixels))
    torch.testing.assert_close(first_input(branch, h, None), h)  # off: the SBN is not called
    assert PerceptionBranch(6, 3, both, None).join is None  # rows without SBN have nothing to add
    assert PerceptionBranch(6, 3, perception, 8).join is None


@pytest.mark.parametrize(("grid", "after"), [(24, 6), (14, 3), (10, 2), (4, 2), (3, 3), (1, 1)])
def test_pooling_follows_the_author_and_stops_at_small_grids(
    perception: PerceptionSettings, grid: int, after: int
) -> None:
    """24 to 12 to 6 and 14 to 7 to 3 as in METHODS 2.5; below 4 cells a row is left alone."""
    branch = PerceptionBranch(6, 3, perception, None).eval()
    seen: list[torch.Tensor] = []
    branch.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    sides = []
    for conv in branch.convs:
        conv.register_forward_hook(lambda module, inputs, out: sides.append(out.shape[-1]))
    branch(torch.randn(2, 6, grid, grid), None)
    assert seen[0].shape == (2, 8)
    last = sides[-1] // 2 if sides[-1] >= 4 else sides[-1]
    assert last == after


def test_group_norm_does_not_mix_images(perception: PerceptionSettings, h: torch.Tensor) -> None:
    settings = perception.model_copy(update={"norm": "group", "dropout": 0.0})
    branch = PerceptionBranch(6, 3, settings, None).train()
    torch.testing.assert_close(branch(h, None)[:1], branch(h[:1], None))
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in branch.modules())


def test_head_is_linear_norm_relu_per_hidden_width(perception: PerceptionSettings) -> None:
    names = [type(layer).__name__ for layer in PerceptionBranch(6, 3, perception, None).head]
    step = ["Linear", "BatchNorm1d", "ReLU"]
    assert names == ["Dropout", *step, *step, "Dropout", "Linear"]


@pytest.mark.parametrize(
    ("combine", "inputs", "norm"), list(product(["alpha", "one_plus_alpha"], ["clip", "clip+sbn"], ["batch", "group"]))
)
def test_every_alternative_trains(
    perception: PerceptionSettings, h: torch.Tensor, combine: str, inputs: str, norm: str
) -> None:
    settings = perception.model_copy(update={"combine": combine, "inputs": inputs, "norm": norm})
    branch = PerceptionBranch(6, 3, settings, 8).train()
    logits = branch(h, torch.rand(2, 1, 5, 5), torch.randn(2, 8, 5, 5))
    logits.square().sum().backward()
    assert logits.shape == (2, 3)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in branch.parameters())
