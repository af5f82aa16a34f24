"""The fused self-attention gives what `nn.MultiheadAttention` gives, forwards and backwards."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ala.encoders.self_attention import SelfAttention, fuse_attention


@pytest.fixture
def pair():
    torch.manual_seed(0)
    plain = nn.MultiheadAttention(24, 4, batch_first=True)
    nn.init.normal_(plain.in_proj_bias)
    nn.init.normal_(plain.out_proj.bias)
    fused = copy.deepcopy(plain)
    fuse_attention(fused)
    return plain, fused


CAUSAL = torch.full((7, 7), float("-inf")).triu(1)


@pytest.mark.parametrize("mask", [None, CAUSAL], ids=["no mask", "causal"])
@pytest.mark.parametrize("grad", [True, False])
def test_equals_multihead_attention(pair, mask, grad):
    plain, fused = pair
    tokens = torch.randn(3, 7, 24)
    with torch.set_grad_enabled(grad):
        expected = plain(tokens, tokens, tokens, need_weights=False, attn_mask=mask)[0]
        found, weights = fused(tokens, tokens, tokens, need_weights=False, attn_mask=mask)
    assert isinstance(fused, SelfAttention)
    assert weights is None
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_gradients_are_equal(pair):
    gradients = []
    for module in pair:
        tokens = torch.linspace(-2, 2, 2 * 7 * 24).view(2, 7, 24).sin().requires_grad_()
        module(tokens, tokens, tokens, need_weights=False)[0].square().sum().backward()
        gradients.append([tokens.grad, *(parameter.grad for parameter in module.parameters())])
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


def test_weights_keep_their_names_and_values(pair):
    plain, fused = pair
    assert list(plain.state_dict()) == list(fused.state_dict())
    assert all(torch.equal(fused.state_dict()[name], value) for name, value in plain.state_dict().items())


@pytest.mark.parametrize(
    "module",
    [
        nn.MultiheadAttention(8, 2),
        nn.MultiheadAttention(8, 2, batch_first=True, dropout=0.1),
        nn.MultiheadAttention(8, 2, batch_first=True, kdim=4, vdim=4),
        nn.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=True),
    ],
    ids=["batch second", "dropout", "other widths", "extra key"],
)
def test_other_attention_stays(module):
    fuse_attention(module)
    assert type(module) is nn.MultiheadAttention


def test_cross_attention_and_weights_are_refused(pair):
    fused, tokens, others = pair[1], torch.zeros(1, 7, 24), torch.zeros(1, 7, 24)
    with pytest.raises(ValueError, match="one tensor"):
        fused(tokens, others, others)
    with pytest.raises(ValueError, match="weights"):
        fused(tokens, tokens, tokens, need_weights=True)
