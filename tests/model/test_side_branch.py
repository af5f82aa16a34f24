from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ala.config.schema import SideBranchSettings
from ala.model.blueprint import written_out
from ala.model.side_branch import SideBranch, SingleFeature

CHANNELS = {0: 6, 2: 4, 3: 3}


@pytest.fixture
def branch(side: SideBranchSettings) -> SideBranch:
    torch.manual_seed(0)
    branch = SideBranch(side, CHANNELS, grid=4)
    with torch.no_grad():  # trained-looking values, so that no term of the computation is hidden by its start value
        for parameter in branch.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return branch.double()


def inputs(side: int = 16, grid: int = 4) -> tuple[Tensor, dict[int, Tensor]]:
    torch.manual_seed(1)
    images = torch.randn(2, 3, side, side, dtype=torch.float64)
    return images, {feature: torch.randn(2, c, grid, grid, dtype=torch.float64) for feature, c in CHANNELS.items()}


# --- a slow reference, one image and one token at a time -------------------------------------------------------------


def norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / math.sqrt(((x - x.mean()) ** 2).mean() + 1e-6) * weight + bias


def gelu(x: np.ndarray) -> np.ndarray:
    return np.array([value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x])


def reference(branch: SideBranch, heads: int, image: np.ndarray, features: dict[int, np.ndarray]) -> np.ndarray:
    """Mask logits (Q, g, g) by METHODS 2.3 in explicit loops; grid and features have the same size."""
    w = {name: tensor.numpy() for name, tensor in branch.state_dict().items()}
    patch, width = w["embed.weight"].shape[-1], len(w["embed.bias"])
    grid, queries = image.shape[-1] // patch, w["queries"].shape[1]
    tokens, position = [w["queries"][0, q] for q in range(queries)], [w["query_position"][0, q] for q in range(queries)]
    for row in range(grid):
        for column in range(grid):
            cell = image[:, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            tokens.append(np.array([(w["embed.weight"][d] * cell).sum() + w["embed.bias"][d] for d in range(width)]))
            position.append(w["position"][0, :, row, column])
    n = len(tokens)

    def fuse(number: int) -> None:
        for feature, block in branch.fusion_map.items():
            if block == number:
                for token in range(queries, n):
                    row, column = divmod(token - queries, grid)
                    name = f"fusions.{feature}"
                    cell = norm(features[feature][:, row, column], w[f"{name}.norm.weight"], w[f"{name}.norm.bias"])
                    tokens[token] = tokens[token] + w[f"{name}.linear.weight"] @ cell + w[f"{name}.linear.bias"]

    tokens = [token + p for token, p in zip(tokens, position, strict=True)]
    fuse(0)
    for number in range(1, len(branch.blocks) + 1):
        b = f"blocks.{number - 1}."
        qkv = [
            w[b + "qkv.weight"] @ norm(t, w[b + "norm1.weight"], w[b + "norm1.bias"]) + w[b + "qkv.bias"]
            for t in tokens
        ]
        d = width // heads
        attended = []
        for i in range(n):
            found = []
            for head in range(heads):
                part = slice(head * d, (head + 1) * d)
                scores = np.array(
                    [qkv[i][:width][part] @ qkv[j][width : 2 * width][part] / math.sqrt(d) for j in range(n)]
                )
                weights = np.exp(scores) / np.exp(scores).sum()
                found.append(sum(weights[j] * qkv[j][2 * width :][part] for j in range(n)))
            attended.append(w[b + "out.weight"] @ np.concatenate(found) + w[b + "out.bias"])
        tokens = [t + a for t, a in zip(tokens, attended, strict=True)]
        for i, token in enumerate(tokens):
            hidden = gelu(
                w[b + "mlp.0.weight"] @ norm(token, w[b + "norm2.weight"], w[b + "norm2.bias"]) + w[b + "mlp.0.bias"]
            )
            tokens[i] = token + w[b + "mlp.2.weight"] @ hidden + w[b + "mlp.2.bias"]
        fuse(number)
        if number < len(branch.blocks):
            tokens = [token + p for token, p in zip(tokens, position, strict=True)]

    def decode(name: str, x: np.ndarray) -> np.ndarray:
        for layer in (0, 2):
            x = np.maximum(w[f"{name}.{layer}.weight"] @ x + w[f"{name}.{layer}.bias"], 0)
        return w[f"{name}.4.weight"] @ x + w[f"{name}.4.bias"]

    q = np.array([decode("query_mlp", token) for token in tokens[:queries]])
    p = np.array([decode("pixel_mlp", token) for token in tokens[queries:]])
    return (q @ p.T).reshape(queries, grid, grid)


def test_equals_the_slow_reference(branch: SideBranch, side: SideBranchSettings) -> None:
    images, features = inputs()
    with torch.no_grad():
        masks, pixels = branch(images, features)
    assert masks.shape == (2, 5, 4, 4)
    assert pixels.shape == (2, 8, 4, 4)
    for i in range(2):
        expected = reference(
            branch, side.heads, images[i].numpy(), {feature: h[i].numpy() for feature, h in features.items()}
        )
        np.testing.assert_allclose(masks[i].numpy(), expected, rtol=1e-9, atol=1e-9)


def test_fusion_adds_to_image_tokens_only(branch: SideBranch) -> None:
    """Right after a fusion the queries are bit for bit what they were; every image token has moved."""
    _, features = inputs()
    tokens = torch.randn(2, 5 + 16, 8, dtype=torch.float64)
    with torch.no_grad():
        fused = branch._fuse(1, tokens, features, torch.Size((4, 4)))
        untouched = branch._fuse(2, tokens, features, torch.Size((4, 4)))
    assert torch.equal(fused[:, :5], tokens[:, :5])
    assert (fused[:, 5:] != tokens[:, 5:]).all()
    assert untouched is tokens  # no feature enters after block 2
    cell = branch.fusions["2"](features[2])[0, :, 1, 3]
    torch.testing.assert_close(fused[0, 5 + 1 * 4 + 3] - tokens[0, 5 + 1 * 4 + 3], cell)


def test_a_feature_after_the_last_block_leaves_the_query_side_alone(branch: SideBranch) -> None:
    images, features = inputs()
    seen: list[Tensor] = []
    branch.query_mlp.register_forward_hook(lambda module, args, out: seen.append(out))
    with torch.no_grad():
        first = branch(images, features).masks
        second = branch(images, features | {3: features[3] + torch.randn_like(features[3])}).masks
    assert torch.equal(seen[0], seen[1])
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("feature", [0, 2, 3])
def test_every_feature_matters_and_passes_gradient_to_its_projection(branch: SideBranch, feature: int) -> None:
    images, features = inputs()
    branch(images, features).masks.square().sum().backward()
    assert branch.fusions[str(feature)].linear.weight.grad.abs().sum() > 0
    assert branch.fusions[str(feature)].norm.weight.grad.abs().sum() > 0


def test_other_grids_resize_positions_and_features(branch: SideBranch) -> None:
    images, features = inputs(side=24, grid=3)  # a 6x6 grid of patches, 3x3 features, made for 4x4
    assert branch(images, features).masks.shape == (2, 5, 6, 6)
    flat = torch.full_like(branch.position, 0.7)
    with torch.no_grad():
        branch.position.copy_(flat)
        large = branch(images, features).pixels
        branch.position = torch.nn.Parameter(torch.full((1, 8, 6, 6), 0.7, dtype=torch.float64))
        torch.testing.assert_close(branch(images, features).pixels, large)


def test_positions_enter_before_every_block_but_not_after_the_last(branch: SideBranch) -> None:
    """With blocks that add nothing, image tokens are patches + fused features + depth times the position."""
    images, features = inputs()
    with torch.no_grad():
        for block in branch.blocks:
            for linear in (block.out, block.mlp[2]):
                linear.weight.zero_()
                linear.bias.zero_()
        features_in = sum(branch.fusions[str(feature)](h) for feature, h in features.items())
        expected = branch.embed(images) + features_in + 3 * branch.position
        torch.testing.assert_close(branch(images, features).pixels, expected)


def test_all_is_written_out_to_as_many_blocks_as_there_are() -> None:
    assert written_out("all", [0, 1, 2, 3, 4], depth=3) == {0: 0, 1: 1, 2: 2, 3: 3}
    assert written_out("all", [1, 0], depth=8) == {0: 0, 1: 1}
    assert written_out({9: 3}, [9], depth=3) == {9: 3}


def test_single_feature_is_layer_norm_over_channels_then_a_1x1_convolution() -> None:
    torch.manual_seed(0)
    feature = SingleFeature(2, 4, 5)
    with torch.no_grad():
        feature.project.norm.weight.uniform_()
        feature.project.norm.bias.uniform_()
        feature.project.linear.bias.uniform_()
    h = torch.randn(2, 4, 3, 3)
    masks, pixels = feature(torch.empty(0), {2: h})
    assert pixels is None
    normed = torch.empty_like(h)
    for b, y, x in np.ndindex(2, 3, 3):
        cell = h[b, :, y, x]
        scaled = (cell - cell.mean()) / (cell.var(unbiased=False) + 1e-6).sqrt()
        normed[b, :, y, x] = scaled * feature.project.norm.weight + feature.project.norm.bias
    linear = feature.project.linear
    expected = torch.nn.functional.conv2d(normed, linear.weight[:, :, None, None], linear.bias)
    torch.testing.assert_close(masks, expected)


def test_start_values(side: SideBranchSettings) -> None:
    torch.manual_seed(0)
    branch = SideBranch(side.model_copy(update={"queries": 400}), CHANNELS, grid=4)
    assert branch.queries.std().item() == pytest.approx(0.02, rel=0.1)
    assert branch.query_position.std().item() == pytest.approx(0.02, rel=0.1)
    for fusion in branch.fusions.values():
        bound = math.sqrt(3 / fusion.linear.in_features)  # kaiming-uniform, a = 1: gain 1
        assert fusion.linear.weight.abs().max() <= bound
        assert not fusion.linear.bias.any()
