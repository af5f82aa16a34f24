"""Packed masks of RISE: unpacked one by one they are what a loop over cells and pixels draws."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from ala.explainers.rise import RiseMasks


@st.composite
def drawn(draw: st.DrawFn) -> RiseMasks:
    image_size = draw(st.integers(1, 24))
    return RiseMasks.draw(
        draw(st.integers(1, 70)),
        draw(st.integers(1, 12)),
        draw(st.floats(0.01, 1)),
        image_size,
        draw(st.integers(0, 2**40)),
    )


def pixel(cells: np.ndarray, cell: int, row: int, column: int) -> float:
    """Bilinear, half-pixel centres, edges continued: the value of the up-sampled grid at one of its pixels."""
    grid = len(cells)
    size = (grid + 1) * cell
    weights = []
    for at in (row, column):
        place = min(max((at + 0.5) * grid / size - 0.5, 0), grid - 1)
        low = min(int(place), grid - 1)
        weights.append((low, min(low + 1, grid - 1), place - low))
    (top, bottom, down), (left, right, across) = weights
    upper = cells[top, left] * (1 - across) + cells[top, right] * across
    lower = cells[bottom, left] * (1 - across) + cells[bottom, right] * across
    return upper * (1 - down) + lower * down


@given(drawn(), st.data())
def test_any_pixel_is_that_of_a_plain_loop(masks: RiseMasks, data: st.DataObject) -> None:
    which = data.draw(st.integers(0, len(masks) - 1))
    row, column = (data.draw(st.integers(0, masks.image_size - 1)) for _ in range(2))
    cell = -(-masks.image_size // masks.grid)
    bits = [int(masks.bits[which, at // 8]) >> (7 - at % 8) & 1 for at in range(masks.grid**2)]
    cells = np.array(bits, float).reshape(masks.grid, masks.grid)
    down, right = masks.offsets[which]
    expected = pixel(cells, cell, row + int(down), column + int(right))
    assert abs(masks.render(which, which + 1)[0, row, column].item() - expected) < 1e-5


@given(drawn(), st.integers(0, 70), st.integers(0, 70))
@example(RiseMasks.draw(1, 12, 0.5, 1, 0), 0, 1)  # cells smaller than a pixel
def test_any_part_is_that_part_of_all(masks: RiseMasks, start: int, stop: int) -> None:
    start, stop = sorted((min(start, len(masks)), min(stop, len(masks))))
    whole = masks.render(0, len(masks))
    assert whole.shape == (len(masks), masks.image_size, masks.image_size)
    assert whole.dtype == torch.float32
    assert whole.min() >= 0
    assert whole.max() <= 1 + 1e-6
    assert torch.equal(masks.render(start, stop), whole[start:stop])
    cell = -(-masks.image_size // masks.grid)
    assert ((masks.offsets >= 0) & (masks.offsets < cell)).all()
    assert masks.bits.shape == (len(masks), -(-(masks.grid**2) // 8))


@given(st.integers(1, 12), st.integers(1, 24), st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**40))
def test_bits_out_of_use_are_zero(grid: int, image_size: int, few: int, more: int, seed: int) -> None:
    masks = RiseMasks.draw(few, grid, 1.0, image_size, seed)
    assert np.unpackbits(masks.bits, axis=1)[:, : grid**2].all()
    assert not np.unpackbits(masks.bits, axis=1)[:, grid**2 :].any()
    assert torch.allclose(masks.render(0, few), torch.ones(()))  # everything shows: p1 = 1
    assert len(RiseMasks.draw(few + more, grid, 0.5, image_size, seed)) == few + more
