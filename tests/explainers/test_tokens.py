"""Explainers of attention weights beside a transformer written out by hand, and beside numbers computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ala.utils.torchvision_import  # noqa: F401  (before timm)

# isort: split
from timm.models.vision_transformer import VisionTransformer

from ala.contracts.preprocessing import Preprocessing
from ala.encoders.encoder import Encoder
from ala.explainers.attention_gradient import AttentionGradient, relevances
from ala.explainers.attention_rollout import AttentionRollout, rollout
from ala.explainers.grad_cam import GradCam
from ala.explainers.grad_eclip import GradEclip
from ala.explainers.raw_attention import RawAttention
from ala.explainers.tokens import attention_weights, blocks_of, token_outputs, token_row
from ala.testing import check_explainer
from ala.utils.errors import UserError

SIZE, PATCH, DIM, HEADS, CLASSES = 32, 8, 16, 2, 3
GRID = SIZE // PATCH


class ZeroShotModel(nn.Module):
    """A frozen encoder with class texts: the cosines of images and texts, times `scale`, are its logits."""

    def __init__(self, encoder: Encoder, scale: float) -> None:
        super().__init__()
        self.encoder, self.scale, self.preprocessing = encoder, scale, encoder.preprocessing
        self.requires_grad_(False)
        self.eval()

    def logits(self, images: Tensor) -> Tensor:
        embedding = F.normalize(self.encoder.pooled(images), dim=-1)  # (B, D)
        return self.scale * embedding @ self.encoder.text_features.T

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images).softmax(-1)


def clip(pool: str) -> ZeroShotModel:
    """Two blocks of random weights, large enough that attention is far from uniform."""
    torch.manual_seed(0)
    network = VisionTransformer(
        img_size=SIZE, patch_size=PATCH, embed_dim=DIM, depth=2, num_heads=HEADS, num_classes=0, global_pool=pool
    )
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.4)
    texts = F.normalize(torch.randn(CLASSES, DIM), dim=-1)
    encoder = Encoder(
        network, nn.Linear(DIM, DIM, bias=False), {"name": "toy"}, Preprocessing.named(SIZE, "half"), 0, texts
    )
    return ZeroShotModel(encoder, scale=20)


@pytest.fixture(params=["token", "avg"])
def model(request: pytest.FixtureRequest) -> ZeroShotModel:
    return clip(request.param)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


class ByHand(NamedTuple):
    """All that a forward pass makes: of each block attention `(B, heads, n, n)`, query, key, value, result, tokens."""

    logits: Tensor
    weights: list[Tensor]
    parts: list[tuple[Tensor, ...]]
    tokens: list[Tensor]


def by_hand(model: ZeroShotModel, images: Tensor) -> ByHand:
    """A forward pass from the parameters alone."""
    network = model.encoder.network
    patches = F.conv2d(images, network.patch_embed.proj.weight, network.patch_embed.proj.bias, stride=PATCH)
    tokens = patches.flatten(2).mT  # (B, g², C)
    tokens = torch.cat([network.cls_token.expand(len(images), -1, -1), tokens], 1) + network.pos_embed  # (B, n, C)
    weights, parts, results = [], [], []
    for block in network.blocks:
        normed = F.layer_norm(tokens, (DIM,), block.norm1.weight, block.norm1.bias, block.norm1.eps)
        heads = []
        each = DIM // HEADS
        projected = normed @ block.attn.qkv.weight.T
        projected = projected if block.attn.qkv.bias is None else projected + block.attn.qkv.bias
        query, key, value = projected.split(DIM, dim=-1)  # (B, n, C) each
        attention = []
        for head in range(HEADS):
            part = slice(head * each, (head + 1) * each)
            attention.append((query[..., part] @ key[..., part].mT / each**0.5).softmax(-1))  # (B, n, n)
        stacked = torch.stack(attention, 1).requires_grad_()  # (B, heads, n, n)
        weights.append(stacked)
        for head in range(HEADS):
            heads.append(stacked[:, head] @ value[..., head * each : (head + 1) * each])
        result = torch.cat(heads, -1)  # (B, n, C)
        parts.append((query, key, value, result))
        tokens = tokens + result @ block.attn.proj.weight.T + block.attn.proj.bias
        normed = F.layer_norm(tokens, (DIM,), block.norm2.weight, block.norm2.bias, block.norm2.eps)
        hidden = F.gelu(normed @ block.mlp.fc1.weight.T + block.mlp.fc1.bias)
        tokens = tokens + hidden @ block.mlp.fc2.weight.T + block.mlp.fc2.bias
        results.append(tokens)
    if network.global_pool == "token":
        tokens = F.layer_norm(tokens, (DIM,), network.norm.weight, network.norm.bias, network.norm.eps)
        pooled = tokens[:, 0]
    else:
        pooled = network.fc_norm(network.norm(tokens)[:, 1:].mean(1))
    embedding = F.normalize(pooled @ model.encoder.head.weight.T, dim=-1)
    return ByHand(model.scale * embedding @ model.encoder.text_features.T, weights, parts, results)


def row_by_hand(relevance: Tensor, pool: str) -> Tensor:
    rows = relevance[:, 0, 1:] if pool == "token" else relevance[:, 1:, 1:].mean(1)  # (B, g²)
    return rows.reshape(len(rows), GRID, GRID)


def test_the_transformer_by_hand_is_the_model(model: ZeroShotModel, images: Tensor) -> None:
    logits = by_hand(model, images).logits
    torch.testing.assert_close(model.logits(images), logits, rtol=1e-4, atol=1e-4)


def test_raw_attention(model: ZeroShotModel, images: Tensor) -> None:
    pool = model.encoder.network.global_pool
    expected = row_by_hand(by_hand(model, images).weights[-1].mean(1), pool)
    found = RawAttention(model).explain(images, torch.full((3,), -1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_rollout(model: ZeroShotModel, images: Tensor) -> None:
    first, second = by_hand(model, images).weights
    identity = torch.eye(GRID**2 + 1)
    product = (second.mean(1) + identity) / 2 @ ((first.mean(1) + identity) / 2)
    found = AttentionRollout(model).explain(images, torch.full((3,), -1))
    torch.testing.assert_close(found, row_by_hand(product, model.encoder.network.global_pool), rtol=1e-4, atol=1e-6)


def test_attention_gradient(model: ZeroShotModel, images: Tensor) -> None:
    targets = torch.tensor([2, 0, 1])
    made = by_hand(model, images)
    logits, weights = made.logits, made.weights
    gradients = torch.autograd.grad(logits[torch.arange(3), targets].sum(), weights)
    relevance = torch.eye(GRID**2 + 1).expand(3, -1, -1)
    for one, gradient in zip(weights, gradients, strict=True):
        step = torch.stack([(gradient[:, head] * one[:, head]).clamp(min=0) for head in range(HEADS)]).mean(0)
        relevance = relevance + step @ relevance
    found = AttentionGradient(model).explain(images, targets)
    expected = row_by_hand(relevance - torch.eye(GRID**2 + 1), model.encoder.network.global_pool)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    assert found.amax(dim=(1, 2)).min() > 0


def test_grad_cam(model: ZeroShotModel, images: Tensor) -> None:
    targets = torch.tensor([2, 0, 1])
    made = by_hand(model, images)
    tokens = made.tokens[0 if model.encoder.network.global_pool == "token" else 1]
    (gradient,) = torch.autograd.grad(made.logits[torch.arange(3), targets].sum(), tokens)
    expected = torch.zeros(3, GRID**2)
    for channel in range(DIM):
        weight = gradient[:, 1:, channel].mean(1)
        expected += weight[:, None] * tokens[:, 1:, channel]
    found = GradCam(model).explain(images, targets)
    torch.testing.assert_close(found, expected.relu().reshape(3, GRID, GRID), rtol=1e-3, atol=1e-5)
    assert found.max() > 0


def test_grad_eclip(model: ZeroShotModel, images: Tensor) -> None:
    targets = torch.tensor([2, 0, 1])
    made = by_hand(model, images)
    query, key, value, result = made.parts[-1]
    (gradient,) = torch.autograd.grad(made.logits[torch.arange(3), targets].sum(), result)
    expected = torch.zeros(3, GRID**2)
    read = [0] if model.encoder.network.global_pool == "token" else range(1, GRID**2 + 1)
    for image in range(3):
        for patch in range(GRID**2):
            total = 0.0
            for token in read:
                cosines = F.cosine_similarity(query[image, token], key[image, 1:], dim=-1)
                loosened = (cosines[patch] - cosines.min()) / (cosines.max() - cosines.min())
                total += (gradient[image, token] * loosened * value[image, patch + 1]).sum().item() / len(read)
            expected[image, patch] = max(total, 0)
    found = GradEclip(model).explain(images, targets)
    torch.testing.assert_close(found, expected.reshape(3, GRID, GRID), rtol=1e-3, atol=1e-6)
    assert found.max() > 0


def test_rollout_and_relevance_of_two_tokens_by_hand() -> None:
    first, second = torch.tensor([[[[0.5, 0.5], [0.0, 1.0]]]]), torch.tensor([[[[1.0, 0.0], [0.25, 0.75]]]])
    # (A + I) / 2 of both: [[.75, .25], [0, 1]] and [[1, 0], [.125, .875]]
    torch.testing.assert_close(rollout([first, second])[0], torch.tensor([[0.75, 0.25], [0.09375, 0.90625]]))
    gradient = torch.tensor([[[[2.0, -1.0], [1.0, 1.0]]]])
    # (gradient * A)+ of both: [[1, 0], [0, 1]] and [[2, 0], [.25, .75]]; R = (I + second)(I + first) - I
    torch.testing.assert_close(
        relevances([first, second], [gradient, gradient])[0], torch.tensor([[5.0, 0.0], [0.5, 2.5]])
    )
    assert token_row(torch.arange(25.0).view(1, 5, 5), 1, True).tolist() == [[[1, 2], [3, 4]]]
    assert token_row(torch.arange(25.0).view(1, 5, 5), 1, False).tolist() == [[[13.5, 14.5], [15.5, 16.5]]]


def test_nothing_of_the_network_stays_changed(model: ZeroShotModel, images: Tensor) -> None:
    before = model(images)

    def broken() -> None:
        with attention_weights(blocks_of(model, "x")) as found, token_outputs(blocks_of(model, "x")):
            model(images)
            assert [tuple(one.shape) for one in found] == [(3, HEADS, GRID**2 + 1, GRID**2 + 1)] * 2
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        broken()
    assert all(block.attn.fused_attn and not block._forward_hooks for block in model.encoder.blocks)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    torch.testing.assert_close(model(images), before, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [RawAttention, AttentionRollout, AttentionGradient, GradCam, GradEclip])
def test_the_contract_is_kept(kind: Callable[..., object], model: ZeroShotModel) -> None:
    images = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    check_explainer(kind, classifier=model, model=model, images=images)  # type: ignore[arg-type]


def test_a_network_without_attention_is_refused(model: ZeroShotModel) -> None:
    class Convolutions:
        blocks = None
        description = {"name": "timm:resnet10t"}

    class Model:
        encoder = Convolutions()

    with pytest.raises(UserError, match=r"raw-attention reads the attention of .*, which timm:resnet10t has"):
        RawAttention(Model())


def test_models_that_run_through_no_attention_are_refused(model: ZeroShotModel) -> None:
    class ReadsTheFirstFeature(nn.Module):
        def features(self, attention: bool) -> list[int]:
            return [0]

    model.adapter = ReadsTheFirstFeature()
    with pytest.raises(UserError, match="grad-cam needs a model that reads a block's result; this one reads feature 0"):
        GradCam(model)
    with pytest.raises(UserError, match="which the explained model has not"):
        GradCam(nn.Linear(1, 1))
