"""CRF loss: a double loop over pixels, and the gradient by finite differences."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from ala.config.schema import FcamCrf
from ala.explainers.fcam.crf import _PairEnergy, bilateral_features, crf_loss


def make(**changes: float) -> FcamCrf:
    return FcamCrf.model_validate({"weight": 0.5, "sigma_rgb": 15, "sigma_xy": 4, "scale": 1.0, "chunk": 2, **changes})


def images(batch: int, height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities (B, 2, H, W) and pixels whose colours lie near enough to matter."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, 2, height, width, generator=generator, dtype=torch.float64)
    pixels = torch.randint(100, 130, (batch, 3, height, width), generator=generator, dtype=torch.uint8)
    return logits.softmax(1), pixels


def slow(probabilities: torch.Tensor, pixels: torch.Tensor, sigma_rgb: float, sigma_xy: float) -> float:
    """-(1/B) sum over images, classes and pairs, as METHODS 4.3 writes it."""
    batch, classes, height, width = probabilities.shape
    total = 0.0
    places = [(y, x) for y in range(height) for x in range(width)]
    for b in range(batch):
        for y, x in places:
            for v, u in places:
                colour = (pixels[b, :, y, x].double() - pixels[b, :, v, u].double()).square().sum().item()
                near = (y - v) ** 2 + (x - u) ** 2
                kernel = math.exp(-near / (2 * sigma_xy**2) - colour / (2 * sigma_rgb**2))
                for k in range(classes):
                    total += (probabilities[b, k, y, x] * kernel * probabilities[b, k, v, u]).item()
    return -total / batch


def test_crf_equals_a_double_loop() -> None:
    probabilities, pixels = images(3, 4, 5)
    got = crf_loss(probabilities, pixels, make()).item()
    assert got == pytest.approx(0.5 * slow(probabilities, pixels, 15, 4), rel=1e-6)


def test_crf_in_single_precision_is_near_enough() -> None:
    probabilities, pixels = images(2, 5, 5)
    pixels[:, :, :2] += 125  # far colours: the exponents reach -200
    got = crf_loss(probabilities.float(), pixels, make()).item()
    assert got == pytest.approx(0.5 * slow(probabilities, pixels, 15, 4), rel=1e-5)


def test_scaled_crf_is_the_energy_of_the_small_image_times_s_to_the_minus_4() -> None:
    probabilities, pixels = images(2, 8, 8)
    small = F.interpolate(probabilities, size=(4, 4), mode="bilinear", align_corners=False)
    coarse = F.interpolate(pixels.float(), size=(4, 4), mode="nearest-exact")
    got = crf_loss(probabilities, pixels, make(scale=0.5)).item()
    assert got == pytest.approx(0.5 * 16 * slow(small, coarse, 15, 2), rel=1e-6)


def test_the_weight_keeps_its_meaning_at_any_scale() -> None:
    probabilities = torch.full((1, 2, 32, 32), 0.5)
    pixels = torch.full((1, 3, 32, 32), 90, dtype=torch.uint8)
    full, half = (crf_loss(probabilities, pixels, make(scale=scale, sigma_xy=8)).item() for scale in (1.0, 0.5))
    assert half == pytest.approx(full, rel=0.05)


@pytest.mark.parametrize("chunk", [2, 3, 5, 9])
def test_chunks_change_neither_loss_nor_gradient(chunk: int) -> None:
    probabilities, pixels = images(5, 8, 8)  # the last chunk is not full

    def found(chunk: int) -> tuple[float, torch.Tensor]:
        leaf = probabilities.clone().requires_grad_()
        loss = crf_loss(leaf, pixels, make(chunk=chunk, scale=0.5))
        (gradient,) = torch.autograd.grad(loss, leaf)
        return loss.item(), gradient

    (loss, gradient), (expected, expected_gradient) = found(chunk), found(1)
    assert expected_gradient.any()
    assert loss == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=0)


class _Made(TorchDispatchMode):
    """Keeps every storage of at least `size` bytes that is made inside."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.found = size, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_iter(out):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().nbytes() >= self.size:
                self.found[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return out


@pytest.mark.parametrize(("batch", "chunk"), [(6, 1), (6, 3), (12, 3)])
def test_one_chunk_of_pairs_is_all_that_is_large(batch: int, chunk: int) -> None:
    image_size = 48
    pairs = 4 * image_size**4  # bytes of float32 weights of an image's pairs of pixels
    probabilities, pixels = images(batch, image_size, image_size)
    leaf = probabilities.float().requires_grad_()
    with _Made(pairs // 10) as made:
        crf_loss(leaf, pixels, make(chunk=chunk)).backward()
    assert [storage.nbytes() for storage in made.found.values()] == [chunk * pairs]


def test_gradient_equals_finite_differences() -> None:
    probabilities, pixels = images(2, 3, 3)
    features = bilateral_features(pixels, 3, 3, 15, 4).double()
    maps = probabilities.flatten(2).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: _PairEnergy.apply(s, features, 1), (maps,))
    leaf = probabilities.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: crf_loss(s, pixels, make(scale=0.7)), (leaf,), atol=1e-4)


def test_like_pixels_want_one_label() -> None:
    pixels = torch.full((1, 3, 4, 4), 60, dtype=torch.uint8)
    pixels[..., 2:] = 200
    along = torch.zeros(1, 2, 4, 4)
    along[:, 0, :, :2] = along[:, 1, :, 2:] = 1  # the border of the regions is the border of the colours
    across = torch.zeros(1, 2, 4, 4)
    across[:, 0, :2] = across[:, 1, 2:] = 1
    assert crf_loss(along, pixels, make()) < crf_loss(across, pixels, make())
