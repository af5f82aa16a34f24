"""Insertion and deletion: by hand, against a slow loop over the protocol, ties, packing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from ala.contracts.preprocessing import Preprocessing
from ala.metrics.curves import Curves, area
from ala.metrics.insertion_deletion import blur_kernel, blurred, insertion_deletion
from ala.metrics.order import falling_order, order, shown_pixels, tie_share
from ala.perturbation import predict
from ala.utils.errors import UserError
from ala.utils.threads import lane

CPU = torch.device("cpu")


def plane(kernel: torch.Tensor) -> torch.Tensor:
    """The whole kernel `(k, k)` of one axis `(k,)`."""
    return torch.outer(kernel, kernel)


def measure(model: Any, images: Any, indices: np.ndarray, maps: np.ndarray, **changes: Any) -> Curves:
    full = predict(model, images, indices, 8, CPU)
    options = {"method": "toy", "step": 5, "kernel": blur_kernel(3, 1.0), "seed": 0, "batch": 16, "device": CPU}
    return insertion_deletion(model, images, indices, maps, full, **(options | changes))


@pytest.mark.parametrize(("size", "sigma"), [(11, 5.0), (5, 1.0), (3, 8.0), (81, 40.0), (61, 10.0)])
def test_blur_kernel_is_a_filtered_dirac(size: int, sigma: float) -> None:
    dirac = np.zeros((size, size))
    dirac[size // 2, size // 2] = 1
    kernel = plane(blur_kernel(size, sigma)).numpy()
    np.testing.assert_allclose(kernel, gaussian_filter(dirac, sigma), atol=1e-7)
    assert kernel.sum() == pytest.approx(1)


def test_the_official_kernel_is_nearly_flat() -> None:
    kernel = plane(blur_kernel(11, 5.0))
    assert (kernel.max() / kernel.min()).item() == pytest.approx(1.14, abs=0.005)  # METHODS 5.1


def test_blur_treats_channels_apart_and_pads_with_zeros() -> None:
    images = torch.zeros(1, 3, 5, 5)
    images[0, 1] = 9.0
    found = blurred(images, torch.full((3,), 1 / 3))
    assert (found[0, [0, 2]] == 0).all()
    np.testing.assert_allclose(found[0, 1, 2].numpy(), [6, 9, 9, 9, 6], atol=1e-5)
    np.testing.assert_allclose(found[0, 1, 0].numpy(), [4, 6, 6, 6, 4], atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, 224, 224), (2, 3, 31, 31)])
@pytest.mark.parametrize("size", [11, 41, 81])
def test_blur_is_the_plain_convolution(shape: tuple[int, ...], size: int) -> None:
    """One axis after the other, whatever the layout in memory that is fastest; the kernel may exceed the image."""
    images, kernel = torch.randn(shape, generator=torch.manual_seed(0)), blur_kernel(size, (size - 1) / 2)
    found = blurred(images, kernel)
    assert found.is_contiguous()
    by_fourier = fftconvolve(images.double().numpy(), plane(kernel.double()).numpy()[None, None], "same", axes=(2, 3))
    np.testing.assert_allclose(found.numpy(), by_fourier, atol=1e-6)


def test_zeros_beyond_the_border_fade_the_image_towards_the_mean_colour() -> None:
    within = blurred(torch.ones(1, 3, 41, 41), blur_kernel(41, 20.0))[0, 0]  # the middle sees the whole image
    assert within[20, 20].item() == pytest.approx(1, abs=1e-6)
    assert within[0, 0].item() == pytest.approx(1 / 4, rel=0.1)
    beyond = blurred(torch.ones(1, 3, 41, 41), blur_kernel(81, 40.0))[0, 0]  # every pixel sees it, and as much of zero
    np.testing.assert_allclose(beyond.numpy(), (41 / 81) ** 2, rtol=0.1)


def test_every_forward_pass_on_a_cpu_is_a_whole_lane(toy_images: Any, small_net: Any) -> None:
    """That of the empty image, too: for fewer images the kernels, and the last bits, depend on the number of
    threads."""

    class Noted:
        def __init__(self) -> None:
            self.net, self.seen = small_net(8), list[int]()
            self.preprocessing = self.net.preprocessing

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            self.seen.append(len(images))
            return self.net(images)

    model = Noted()
    measure(model, toy_images((3, 8)), np.arange(3), np.random.default_rng(0).random((3, 8, 8)))
    assert len(model.seen) > 3
    assert set(model.seen) == {lane(8)}


def test_shown_pixels() -> None:
    np.testing.assert_array_equal(shown_pixels(2, 1), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(shown_pixels(2, 3), [0, 3, 4])  # the last step is short
    np.testing.assert_array_equal(shown_pixels(2, 4), [0, 4])
    assert len(shown_pixels(384, 384)) == 385
    # A model that sees 4 x 4 pixels, in as many steps as an 8 x 8 image in steps of 10 needs: 7.
    np.testing.assert_array_equal(shown_pixels(4, 10, 8), [0, 2, 5, 8, 10, 12, 15, 16])


@given(image_size=st.integers(2, 20), reference=st.integers(2, 20), step=st.integers(1, 50))
def test_shown_pixels_go_from_none_to_all(image_size: int, reference: int, step: int) -> None:
    shown = shown_pixels(image_size, step, reference)
    assert shown[0] == 0
    assert shown[-1] == image_size * image_size
    assert (np.diff(shown) >= 0).all()
    assert len(shown) == math.ceil(reference * reference / step) + 1


def test_order_is_descending_and_ties_are_shared_by_methods() -> None:
    random = np.random.default_rng(0)
    distinct = random.permutation(36).reshape(6, 6).astype(np.float32)
    np.testing.assert_array_equal(order(distinct, 1, 0), np.argsort(-distinct.ravel()))
    flat = order(np.zeros((6, 6), np.float32), 1, 0)
    np.testing.assert_array_equal(np.sort(flat), np.arange(36))
    assert (flat != np.arange(36)).any()  # not by position
    np.testing.assert_array_equal(flat, order(np.full((6, 6), 7, np.float32), 1, 0))  # the same for another method
    assert (flat != order(np.zeros((6, 6), np.float32), 2, 0)).any()  # another image
    assert (flat != order(np.zeros((6, 6), np.float32), 1, 1)).any()  # another seed
    # Two levels: the upper level first, each in the shared order.
    two = np.zeros((6, 6), np.float32)
    two[:3] = 1
    found = order(two, 1, 0)
    np.testing.assert_array_equal(found, np.concatenate([flat[flat < 18], flat[flat >= 18]]))


@pytest.mark.parametrize("kind", ["smooth", "tied", "constant", "negative", "zeros of both signs", "tiny and huge"])
def test_order_is_a_stable_sort(kind: str) -> None:
    random = np.random.default_rng(0)
    values = random.standard_normal(5000).astype(np.float32)
    if kind == "tied":
        values = np.round(values * 3) / 3
    elif kind == "constant":
        values[:] = -0.25
    elif kind == "negative":
        values = -np.abs(values)
    elif kind == "zeros of both signs":
        values = np.where(values > 0.5, values, np.where(values > 0, np.float32(0), np.float32(-0.0)))
    elif kind == "tiny and huge":
        values = values * np.float32(10) ** random.integers(-44, 38, 5000).astype(np.float32)
    np.testing.assert_array_equal(falling_order(values), np.argsort(-values, kind="stable"))


def test_tie_share() -> None:
    assert tie_share(np.array([4.0, 3.0, 2.0, 1.0])) == 0
    assert tie_share(np.array([4.0, 3.0, 1.0, 1.0])) == 0.5
    assert tie_share(np.zeros(16)) == 1
    random = np.random.default_rng(0).integers(0, 9, 40)
    counts = [int((random == value).sum()) for value in random]
    assert tie_share(np.sort(random)) == np.mean([count > 1 for count in counts])


def test_a_two_by_two_image_by_hand(toy_images: Any, linear: Any) -> None:
    """Pixels 255, 204, 153, 0 are 1, .6, .2, -1 normalised; probability of class 1 is (mean + 1) / 2 = .6."""
    levels = torch.tensor([[255, 204], [153, 0]], dtype=torch.uint8)
    images, model = toy_images(levels.expand(1, 3, 2, 2)), linear(2)
    maps = np.array([[[4.0, 1.0], [3.0, 2.0]]])  # order: 1, .2, -1, .6
    half = torch.zeros(3)
    half[1] = 0.5**0.5  # "blurred" is the image at half strength: .5, .3, .1, -.5
    found = measure(model, images, np.array([0]), maps, step=1, kernel=half)

    sums_deletion = np.array([0.8, -0.2, -0.4, 0.6, 0.0])  # 1, .2, -1 and .6 leave one after another
    sums_insertion = np.array([0.4, 0.9, 1.0, 0.5, 0.8])  # each step doubles one pixel
    np.testing.assert_allclose(found.deletion[0], (sums_deletion / 4 + 1) / 2, atol=1e-6)
    np.testing.assert_allclose(found.insertion[0], (sums_insertion / 4 + 1) / 2, atol=1e-6)
    assert found.targets.tolist() == [1]
    assert found.image_ids.tolist() == [101]
    assert found.tie_shares.tolist() == [0]
    assert found.forwards == 2 * 4 - 1 + 1
    # Trapezoids: ends half.
    assert area(found.deletion)[0] == pytest.approx(((0.8 + 0.0) / 2 - 0.2 - 0.4 + 0.6) / 4 / 4 / 2 + 0.5)
    assert area(found.insertion)[0] == pytest.approx(((0.4 + 0.8) / 2 + 0.9 + 1.0 + 0.5) / 4 / 4 / 2 + 0.5)


def test_a_constant_model_has_flat_curves(toy_images: Any) -> None:
    class Constant:
        preprocessing = Preprocessing.named(6, "clip")

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.2, 0.5, 0.3]]).expand(len(images), 3)

    found = measure(Constant(), toy_images((2, 6)), np.arange(2), np.random.default_rng(0).random((2, 6, 6)))
    assert found.targets.tolist() == [1, 1]
    np.testing.assert_allclose(area(found.insertion), 0.5, atol=1e-7)
    np.testing.assert_allclose(area(found.deletion), 0.5, atol=1e-7)


def slow_reference(
    model: Any, image: torch.Tensor, importance: np.ndarray, image_id: int, step: int, kernel: torch.Tensor
) -> tuple[list[float], list[float]]:
    """METHODS 5.1, one pixel group and one forward pass after another; ties by the shared permutation."""
    image_size = image.shape[-1]
    with torch.no_grad():
        target = int(model(image[None])[0].argmax())
        curves = []
        padded = torch.nn.functional.pad(image, [kernel.shape[0] // 2] * 4)
        soft = torch.zeros_like(image)
        for y in range(image_size):
            for x in range(image_size):
                window = padded[:, y : y + kernel.shape[0], x : x + kernel.shape[1]]
                soft[:, y, x] = (window * kernel).sum(dim=(1, 2))
        positions = order(importance, image_id, 0)
        for start, finish in ((soft, image), (image, torch.zeros_like(image))):
            current, scores = start.clone().reshape(3, -1), []
            for k in range(math.ceil(image_size * image_size / step) + 1):
                scores.append(model(current.reshape(1, 3, image_size, image_size))[0, target].item())
                changed = positions[k * step : (k + 1) * step]
                current[:, changed] = finish.reshape(3, -1)[:, changed]
            curves.append(scores)
    return curves[0], curves[1]


@pytest.mark.parametrize(("step", "grid"), [(1, 12), (7, 12), (12, 3), (144, 3)])
def test_curves_equal_the_slow_reference(toy_images: Any, small_net: Any, step: int, grid: int) -> None:
    images, model, kernel = toy_images((4, 12)), small_net(12), blur_kernel(5, 2.0)
    indices = np.array([2, 0, 3])
    maps = np.random.default_rng(1).random((3, grid, grid)).astype(np.float32)
    found = measure(model, images, indices, maps, step=step, kernel=kernel, batch=10)
    for position, index in enumerate(indices):
        image = model.preprocessing.normalise(images.images[index : index + 1])[0]
        large = torch.nn.functional.interpolate(
            torch.as_tensor(maps[position])[None, None], size=(12, 12), mode="bilinear", align_corners=False
        )[0, 0].numpy()
        insertion, deletion = slow_reference(model, image, large, images.image_ids[index], step, plane(kernel))
        np.testing.assert_allclose(found.insertion[position], insertion, atol=2e-6)
        np.testing.assert_allclose(found.deletion[position], deletion, atol=2e-6)


def test_packing_changes_nothing(toy_images: Any, small_net: Any) -> None:
    images, model, indices = toy_images((3, 12)), small_net(12), np.arange(3)
    maps = np.random.default_rng(1).random((3, 4, 4)).astype(np.float32)
    one = measure(model, images, indices, maps, batch=1)
    for batch in (2, 7, 64, 1000):
        other = measure(model, images, indices, maps, batch=batch)
        np.testing.assert_allclose(other.insertion, one.insertion, atol=1e-6)
        np.testing.assert_allclose(other.deletion, one.deletion, atol=1e-6)
        np.testing.assert_array_equal(other.tie_shares, one.tie_shares)
    alone = measure(model, images, indices[2:], maps[2:], batch=7)  # an image's curve does not depend on its neighbours
    np.testing.assert_allclose(alone.insertion[0], one.insertion[2], atol=1e-6)


def test_a_better_map_scores_better(toy_images: Any, linear: Any) -> None:
    """Where the model counts bright pixels, ranking by brightness cannot be beaten in insertion or deletion."""
    images, model = toy_images((1, 10)), linear(10)
    images.images[:] = 128 + images.images // 2  # bright: the target is class 1
    brightness = images.images[:, 0].float().numpy()
    best, worst = (measure(model, images, np.array([0]), sign * brightness) for sign in (1, -1))
    assert area(best.deletion)[0] < area(worst.deletion)[0] - 0.02
    still = blur_kernel(3, 1.0) * 0  # insertion from an empty image
    best, worst = (measure(model, images, np.array([0]), sign * brightness, kernel=still) for sign in (1, -1))
    assert area(best.insertion)[0] > area(worst.insertion)[0] + 0.02


def test_another_input_size_has_curves_of_the_same_length(toy_images: Any, small_net: Any) -> None:
    maps = np.random.default_rng(1).random((2, 4, 4))
    found = measure(small_net(8), toy_images((2, 8)), np.arange(2), maps, step=10, reference_size=12)
    assert found.insertion.shape == (2, math.ceil(144 / 10) + 1)


def test_curves_are_saved_whole(tmp_path: Path, toy_images: Any, small_net: Any) -> None:
    images, maps = toy_images((2, 12)), np.random.default_rng(1).random((2, 4, 4))
    parts = [measure(small_net(12), images, np.arange(2), maps, method=name) for name in ("full", "center")]
    joined = Curves.join(parts)
    assert joined.methods.tolist() == ["full", "full", "center", "center"]
    assert joined.forwards == sum(part.forwards for part in parts)
    joined.save(tmp_path / "curves.npz")
    found = Curves.load(tmp_path / "curves.npz")
    assert found.forwards == joined.forwards
    for name in ("methods", "image_ids", "targets", "insertion", "deletion", "tie_shares"):
        np.testing.assert_array_equal(getattr(found, name), getattr(joined, name))
    (tmp_path / "bad.npz").write_bytes(b"")
    with pytest.raises(UserError, match=r"bad.npz holds no curves"):
        Curves.load(tmp_path / "bad.npz")
    with pytest.raises(UserError, match=r"none.npz does not exist"):
        Curves.load(tmp_path / "none.npz")


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_area_is_the_trapezoid_rule(values: list[float]) -> None:
    curve = np.array(values)
    assert area(curve[None])[0] == pytest.approx(np.trapezoid(curve, np.linspace(0, 1, len(curve))), abs=1e-12)


@pytest.mark.parametrize("curve", ["insertion", "deletion"])
def test_one_curve_alone_is_that_of_both(toy_images: Any, small_net: Any, curve: str) -> None:
    images, model, indices = toy_images((3, 12)), small_net(12), np.array([2, 0])
    maps = np.random.default_rng(4).random((2, 12, 12))
    both, one = (measure(model, images, indices, maps, step=30, batch=4, curve=which) for which in ("both", curve))
    np.testing.assert_allclose(getattr(one, curve), getattr(both, curve), atol=1e-6)
    assert np.isnan(getattr(one, {"insertion": "deletion", "deletion": "insertion"}[curve])).all()
    steps = 5  # of 30 pixels out of 144
    assert one.forwards == {"insertion": 2 * steps, "deletion": 2 * (steps - 1) + 1}[curve]
    np.testing.assert_array_equal(one.tie_shares, both.tie_shares)
