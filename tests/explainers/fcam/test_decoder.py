"""The decoder on pyramids of several kinds."""

from __future__ import annotations

import pytest
import torch

from ala.explainers.fcam.decoder import Block, Decoder, resize_to
from ala.utils.errors import UserError


@pytest.mark.parametrize(
    ("size", "channels", "sizes", "widths"),
    [
        (224, [64, 256, 512, 1024, 2048], [112, 56, 28, 28, 28], [8, 8, 8, 8, 4]),  # ResNet50 at stride 8
        (80, [8, 8, 16], [40, 20, 10], [8, 8, 4]),
        (75, [8, 8, 16], [38, 19, 10], [8, 8, 4]),  # odd sides: no level is twice the next
        (64, [8, 16, 16], [64, 32, 16], [8, 4]),  # VGG: the finest level has the input's size
        (64, [8, 16], [16, 8], [8, 4]),  # a patchifying stem: the rest of the way is interpolation
    ],
)
def test_logits_have_the_inputs_size(size: int, channels: list[int], sizes: list[int], widths: list[int]) -> None:
    decoder = Decoder(channels, [round(size / image_size) for image_size in sizes], widths)
    levels = [torch.randn(2, c, s, s) for c, s in zip(channels, sizes, strict=True)]
    logits = decoder(levels, size)
    assert logits.shape == (2, 2, size, size)
    assert logits.isfinite().all()


def test_blocks_read_the_skips_of_the_table() -> None:
    # METHODS 4.2: (in + skip -> out) per block for ResNet50.
    decoder = Decoder([64, 256, 512, 1024, 2048], [2, 4, 8, 8, 8], [256, 128, 64, 32, 16])
    table = []
    for block in decoder.blocks:
        first, second = [layer for layer in block.modules() if isinstance(layer, torch.nn.Conv2d)]
        assert first.bias is None
        assert second.bias is None
        assert second.in_channels == second.out_channels
        table.append((first.in_channels, first.out_channels))
    assert table == [(2048 + 1024, 256), (256 + 512, 128), (128 + 256, 64), (64 + 64, 32), (32, 16)]
    assert decoder.head.weight.shape == (2, 16, 3, 3)


def test_every_level_and_every_parameter_counts() -> None:
    torch.manual_seed(0)
    decoder = Decoder([4, 6, 8], [2, 4, 4], [8, 8, 4])
    levels = [torch.randn(2, c, s, s, requires_grad=True) for c, s in ((4, 8), (6, 4), (8, 4))]
    decoder(levels, 16).square().sum().backward()
    for level in levels:
        assert level.grad is not None
        assert level.grad.any()
    assert all(p.grad is not None for p in decoder.parameters())


def test_a_block_doubles_by_nearest_neighbour() -> None:
    block = Block(1, 1, 1)
    seen = []
    block.layers = torch.nn.Sequential(torch.nn.Identity())
    block.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    block(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.full((1, 1, 4, 4), 9.0))
    assert seen[0][0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    assert (seen[0][0, 1] == 9).all()


def test_resizing_aligns_corners() -> None:
    row = resize_to(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]), (2, 3))
    assert row[0, 0, 0].tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("widths", [[8, 8], [8, 8, 8, 8]])
def test_a_wrong_number_of_blocks_is_named(widths: list[int]) -> None:
    with pytest.raises(UserError, match=r"names \d blocks.*3 levels.*needs 3"):
        Decoder([4, 6, 8], [2, 4, 8], widths)
