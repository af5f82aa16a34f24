"""Maps that a model gives by itself, batch after batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ala.contracts.preprocessing import Preprocessing
from ala.explainers.attention import explain_photos


def test_maps_come_in_the_order_of_rows_whatever_the_batch(toy_photos: Any) -> None:
    photos, preprocessing = toy_photos(5, 8), Preprocessing.named(8, "half")

    def explain(images: torch.Tensor) -> torch.Tensor:
        return images.mean(1)[:, ::2, ::4]  # (B, 4, 2)

    rows = np.array([3, 1, 4, 0])
    expected = explain(preprocessing.normalise(photos.images[rows])).numpy()
    for batch in (1, 3, 4, 9):
        found = explain_photos(explain, preprocessing, photos, rows, batch, torch.device("cpu"))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-6)
