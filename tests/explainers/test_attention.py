"""Maps that a model gives by itself, batch after batch."""

from __future__ import annotations

from typing import Any

import torch

from ala.contracts.preprocessing import Preprocessing
from ala.explainers.attention import own_maps


class Striped:
    def explain(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(1)[:, ::2, ::4]  # (B, 4, 2)


def test_maps_come_in_the_order_of_images_whatever_the_batch(toy_images: Any) -> None:
    images = Preprocessing.named(8, "half").normalise(toy_images(5, 8).images)
    for batch in (1, 3, 4, 9):
        found = own_maps(Striped().explain, images, batch)
        assert (found.dtype, found.device.type) == (torch.float32, "cpu")
        torch.testing.assert_close(found, Striped().explain(images), atol=1e-6, rtol=0)
