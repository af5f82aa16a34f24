from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageEnhance
from scipy.ndimage import correlate1d

from ala.training.augment import augmented, blurred, sharpened
from ala.utils.seeds import torch_generator
from tests.training.settings import Augment

PIXELS = torch.randint(0, 256, (400, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def draw(settings: Augment, size: int = 12, seed: int = 0) -> torch.Tensor:
    return augmented(PIXELS, size, settings, torch_generator(seed, "augment", 0))


def test_same_draws_same_images() -> None:
    settings = Augment(resize=12, hflip=0.5, blur=0.5, sharpen=0.5)
    assert torch.equal(draw(settings, 8), draw(settings, 8))
    assert not torch.equal(draw(settings, 8), draw(settings, 8, seed=1))
    assert draw(settings, 8).shape == (400, 3, 8, 8)
    assert draw(settings, 8).dtype == torch.float32


def test_nothing_requested_nothing_changed() -> None:
    assert torch.equal(draw(Augment(hflip=0.0)), PIXELS.float())


def test_about_half_are_mirrored() -> None:
    out = draw(Augment(hflip=0.5))
    kept = (out == PIXELS).flatten(1).all(1)
    mirrored = (out == PIXELS.flip(-1)).flatten(1).all(1)
    assert (kept ^ mirrored).all()
    assert 150 < mirrored.sum() < 250
    assert (draw(Augment(hflip=1.0)) == PIXELS.flip(-1)).all()


def test_crops_are_parts_of_the_image_at_every_place() -> None:
    out = draw(Augment(resize=12, hflip=0.0), size=10)
    places = set()
    for crop, image in zip(out, PIXELS, strict=True):
        found = [
            (y, x) for y in range(3) for x in range(3) if torch.equal(crop, image[:, y : y + 10, x : x + 10].float())
        ]
        places.update(found)
        assert found
    assert len(places) == 9


def test_blur_is_a_5x5_gaussian_of_its_own_sigma() -> None:
    images, sigma = PIXELS[:3].float(), torch.tensor([0.1, 1.0, 5.0])
    out = blurred(images, sigma).numpy()
    for i in range(3):
        kernel = np.exp(-0.5 * (np.arange(-2, 3) / sigma[i].item()) ** 2)
        kernel /= kernel.sum()
        expected = images[i].numpy()
        for axis in (1, 2):
            expected = correlate1d(expected, kernel, axis=axis, mode="mirror")
        np.testing.assert_allclose(out[i], expected, atol=1e-3)


def test_shares_of_blur_and_sharpening() -> None:
    for settings in (Augment(hflip=0.0, blur=0.1), Augment(hflip=0.0, sharpen=0.1)):
        touched = (draw(settings) != PIXELS).flatten(1).any(1).sum()
        assert 15 < touched < 70


def test_sharpness_is_pillows() -> None:
    out = sharpened(PIXELS[:4].float(), 1.5)
    for got, original in zip(out, PIXELS[:4], strict=True):
        image = Image.fromarray(original.permute(1, 2, 0).numpy())
        expected = np.asarray(ImageEnhance.Sharpness(image).enhance(1.5)).astype(float)
        np.testing.assert_allclose(got.permute(1, 2, 0).numpy(), expected, atol=1.01)  # Pillow rounds to 8 bits
