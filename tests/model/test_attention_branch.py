from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ala.config.schema import AttentionSettings
from ala.model.attention_branch import AttentionBranch, minmax, pointwise


def test_minmax_by_hand() -> None:
    maps = torch.tensor([[[[0.0, 2.0], [1.0, 4.0]]], [[[-3.0, -3.0], [-1.0, -2.0]]]])
    expected = torch.tensor([[[[0.0, 0.5], [0.25, 1.0]]], [[[0.0, 0.0], [1.0, 0.5]]]])
    torch.testing.assert_close(minmax(maps), expected, atol=1e-6, rtol=0)


def test_minmax_properties() -> None:
    maps = torch.randn(50, 1, 5, 5) * torch.logspace(-3, 3, 50)[:, None, None, None]
    scaled = minmax(maps)
    assert (scaled.amin((-2, -1)) == 0).all()
    assert ((scaled.amax((-2, -1)) > 0.999) & (scaled.amax((-2, -1)) <= 1)).all()
    torch.testing.assert_close(minmax(maps[3:4]), scaled[3:4])  # per image: the batch does not matter
    torch.testing.assert_close(minmax(3 * maps + 7), scaled, atol=2e-3, rtol=0)
    assert not minmax(torch.full((1, 1, 3, 3), 5.0)).any()  # constant, not NaN


def branch(kind: str, dropout: float = 0.0) -> AttentionBranch:
    torch.manual_seed(0)
    made = AttentionBranch(5, 7, AttentionSettings(kind=kind, map_dropout=dropout, hidden=6))  # type: ignore[arg-type]
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
            nn.init.uniform_(module.bias)
            module.running_mean.uniform_()
            module.running_var.uniform_(0.5, 2)
    return made.eval()


def bn(x: np.ndarray, norm: nn.BatchNorm2d) -> np.ndarray:
    mean, var, weight, bias = (
        t.detach().numpy()[:, None, None] for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (x - mean) / np.sqrt(var + norm.eps) * weight + bias


def conv1(x: np.ndarray, layer: nn.Conv2d | nn.Linear) -> np.ndarray:
    weight = layer.weight.detach().numpy().reshape(layer.weight.shape[0], -1)
    out = np.einsum("oc,chw->ohw", weight, x)
    return out if layer.bias is None else out + layer.bias.detach().numpy()[:, None, None]


def test_minmax_kind_equals_the_reference() -> None:
    """Both heads read M itself; the classification is the mean of a 1x1 convolution's map (METHODS 2.4)."""
    ab, masks = branch("minmax"), torch.randn(2, 5, 4, 4)
    alpha, logits = ab(masks)
    for i in range(2):
        m = masks[i].numpy()
        raw = conv1(m, ab.map)
        np.testing.assert_allclose(
            alpha[i].detach().numpy(), (raw - raw.min()) / (raw.max() - raw.min() + 1e-7), atol=1e-5
        )
        hidden = np.maximum(conv1(bn(m, ab.trunk[0]), ab.trunk[1]), 0)
        np.testing.assert_allclose(logits[i].detach().numpy(), conv1(hidden, ab.classify).mean((1, 2)), atol=1e-5)


def test_sigmoid_kind_equals_the_reference() -> None:
    ab, masks = branch("sigmoid"), torch.randn(2, 5, 4, 4)
    alpha, logits = ab(masks)
    for i in range(2):
        trunk = np.maximum(bn(conv1(bn(masks[i].numpy(), ab.trunk[0]), ab.trunk[1]), ab.trunk[2]), 0)  # (K, 4, 4)
        kernel, padded = ab.map.weight.detach().numpy()[0], np.pad(trunk, ((0, 0), (1, 1), (1, 1)))
        raw = np.array([[[(kernel * padded[:, y : y + 3, x : x + 3]).sum() for x in range(4)] for y in range(4)]])
        np.testing.assert_allclose(alpha[i].detach().numpy(), 1 / (1 + np.exp(-bn(raw, ab.map_norm))), atol=1e-5)
        np.testing.assert_allclose(logits[i].detach().numpy(), conv1(trunk, ab.classify).mean((1, 2)), atol=1e-5)
    assert ((alpha > 0) & (alpha < 1)).all()


@pytest.mark.parametrize("kind", ["minmax", "sigmoid"])
def test_map_dropout_acts_in_training_only(kind: str) -> None:
    ab, masks = branch(kind, dropout=0.75), torch.randn(3, 5, 6, 6)
    assert torch.equal(ab(masks)[0], ab(masks)[0])
    torch.testing.assert_close(ab(masks)[0], branch(kind)(masks)[0])
    ab.dropout.train()
    dropped = ab(masks)[0]
    assert not torch.equal(dropped, ab(masks)[0])
    same = torch.stack([(m == m.flatten().mode().values).float().mean() for m in dropped])
    assert same.mean().item() == pytest.approx(0.75, abs=0.15)  # the dropped cells share one value


@pytest.mark.parametrize("bias", [True, False])
def test_pointwise_is_the_convolution_and_has_its_gradients(bias: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 3, 1, bias=bias).double()
    results = []
    for apply in (conv, lambda x: pointwise(x, conv)):
        x = torch.linspace(-1, 1, 2 * 5 * 4 * 6).double().view(2, 4, 6, 5).permute(0, 3, 1, 2).requires_grad_()
        conv.zero_grad()
        out = apply(x)
        out.square().sum().backward()
        results.append([out.detach(), x.grad, *(parameter.grad.clone() for parameter in conv.parameters())])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)
