"""Seeds: against scikit-image's Otsu and a slow loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies
from scipy import ndimage
from skimage.filters import threshold_otsu

from ala.config.schema import FcamSeeds
from ala.explainers.fcam.seeds import IGNORED, dilate, draw_seeds, erode, otsu, sample


def make(**changes: object) -> FcamSeeds:
    raw = {"foreground": 1, "background": 1, "background_share": 0.1, "dilate": 3, "erode": 5}
    return FcamSeeds.model_validate({**raw, **changes})


def blobs(count: int, width: int, seed: int) -> torch.Tensor:
    """Smooth random CAMs in [0, 1]."""
    noise = np.random.default_rng(seed).random((count, width, width))
    smooth = np.stack([ndimage.gaussian_filter(one, width / 8) for one in noise])
    low, high = smooth.min((1, 2), keepdims=True), smooth.max((1, 2), keepdims=True)
    return torch.from_numpy(((smooth - low) / (high - low)).astype(np.float32))


def slow_otsu(values: np.ndarray) -> int:
    """The smallest t of largest w0 w1 (m0 - m1)^2, by its definition."""
    best, best_t = 0.0, 0
    for t in range(255):
        low, high = values[values <= t].astype(float), values[values > t].astype(float)
        if len(low) and len(high):
            between = len(low) * len(high) * (low.mean() - high.mean()) ** 2
            if between > best * (1 + 1e-12):
                best, best_t = between, t
    return best_t


def test_of_equally_good_thresholds_the_smallest_is_taken() -> None:
    """{14} against the rest and {52} against the rest are equally far apart."""
    assert otsu(torch.tensor([[14, 28, 32, 34, 38, 52]], dtype=torch.uint8)).tolist() == [14]


@given(strategies.lists(strategies.integers(0, 255), min_size=2, max_size=60))
@settings(max_examples=60, deadline=None)
def test_otsu_is_its_definition(values: list[int]) -> None:
    row = np.array(values, dtype=np.uint8)
    assert int(otsu(torch.from_numpy(row)[None])[0]) == slow_otsu(row)


def test_otsu_of_a_batch_equals_scikit_image() -> None:
    grey = (blobs(12, 40, 0) * 255).to(torch.uint8)
    expected = [threshold_otsu(one.numpy()) for one in grey]
    assert otsu(grey.flatten(1)).tolist() == expected


def test_otsu_by_hand() -> None:
    # Two levels: every t from 10 to 199 separates them alike; the smallest counts.
    assert otsu(torch.tensor([[10, 10, 200], [7, 7, 7]], dtype=torch.uint8)).tolist() == [10, 0]


@pytest.mark.parametrize("width", [1, 3, 5])
def test_morphology_equals_scipy(width: int) -> None:
    mask = blobs(4, 24, 1) > 0.5
    square = np.ones((width, width), dtype=bool)
    for one, wide, thin in zip(mask.numpy(), dilate(mask, width).numpy(), erode(mask, width).numpy(), strict=True):
        assert np.array_equal(wide, ndimage.binary_dilation(one, square))
        assert np.array_equal(thin, ndimage.binary_erosion(one, square, border_value=1))


def allowed_by_loop(cam: np.ndarray, options: FcamSeeds) -> tuple[np.ndarray, np.ndarray]:
    """Where the centre of a foreground and of a background seed may lie, pixel by pixel."""
    grey = (cam * np.float32(255)).astype(np.uint8)
    threshold = min(max(threshold_otsu(grey), 1), 254)
    width, pad = cam.shape[0], options.erode // 2
    region = grey > threshold
    kept = np.zeros_like(region)
    for y in range(width):
        for x in range(width):
            window = region[max(0, y - pad) : y + pad + 1, max(0, x - pad) : x + pad + 1]
            kept[y, x] = window.all()
    order = np.sort(cam.ravel())
    low = cam <= order[max(1, int(options.background_share * cam.size)) - 1]
    return (kept if kept.any() else region), low


def test_seeds_lie_where_a_loop_allows_them_and_everywhere_there() -> None:
    options = make(dilate=1)
    cams = blobs(3, 20, 2)
    hits = np.zeros((3, 2, 20, 20), dtype=int)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2000):
        seeds = draw_seeds(cams, options, generator).numpy()
        assert ((seeds == 1).sum((1, 2)) == 1).all()
        assert ((seeds == 0).sum((1, 2)) == 1).all()
        hits[:, 0] += seeds == 1
        hits[:, 1] += seeds == 0
    for cam, counts in zip(cams.numpy(), hits, strict=True):
        for region, count in zip(allowed_by_loop(cam, options), counts, strict=True):
            assert count[~region].sum() == 0
            expected = 2000 / region.sum()  # uniform: Poisson-like counts, six deviations wide
            assert np.abs(count[region] - expected).max() < 6 * np.sqrt(expected)


def test_dilated_seeds_are_squares_and_overlaps_are_ignored() -> None:
    cam = torch.zeros(1, 9, 9)
    cam[0, :, 5:] = 1.0  # the lowest 90 % include pixels that touch the object
    options = make(background_share=0.5, erode=1, foreground=30, background=30)
    seeds = draw_seeds(cam, options, torch.Generator().manual_seed(0))[0]
    assert set(seeds.unique().tolist()) == {IGNORED, 0, 1}
    assert (seeds[:, 6:] == 1).any()
    assert (seeds[:, 6:] != 0).all()  # a background square reaches column 5 at most
    assert (seeds[:, :4] != 1).all()
    assert (seeds[:, 4:6] == IGNORED).any()


def test_an_erosion_that_leaves_nothing_is_undone() -> None:
    cam = torch.zeros(1, 16, 16)
    cam[0, 4:6, 4:6] = 1.0
    seeds = draw_seeds(cam, make(erode=11, dilate=1), torch.Generator().manual_seed(0))[0]
    ((y, x),) = (seeds == 1).nonzero().tolist()
    assert y in (4, 5)
    assert x in (4, 5)


def test_a_cam_without_contrast_gives_no_seeds() -> None:
    cams = torch.stack([torch.zeros(8, 8), torch.full((8, 8), 0.7)])
    assert (draw_seeds(cams, make(), torch.Generator().manual_seed(0)) == IGNORED).all()


def test_the_generator_decides() -> None:
    cams = blobs(4, 24, 3)
    first = draw_seeds(cams, make(), torch.Generator().manual_seed(1))
    assert torch.equal(first, draw_seeds(cams, make(), torch.Generator().manual_seed(1)))
    assert not torch.equal(first, draw_seeds(cams, make(), torch.Generator().manual_seed(2)))


def test_sampling_takes_what_there_is() -> None:
    allowed = torch.tensor([[True, False, True, False], [False] * 4, [True] * 4])
    drawn = sample(allowed, 3, torch.Generator().manual_seed(0))
    assert drawn.sum(1).tolist() == [2, 0, 3]
    assert not (drawn & ~allowed).any()


def test_an_even_square_is_refused() -> None:
    with pytest.raises(ValueError, match="must be odd"):
        make(erode=4)
