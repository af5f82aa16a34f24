"""The listed bounding box as a map: an oracle, not a method (METHODS 5.4)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Box:
    """1 in the ground-truth box, 0 outside; the map is the prediction itself."""

    label = "box (oracle)"
    explains = "nothing"
    class_agnostic = binary = True

    def explain(self, images: Tensor, targets: Tensor, boxes: np.ndarray) -> Tensor:
        """Maps `(B, S, S)`.

        A pixel belongs to a box that covers its centre; a box thinner than a pixel keeps the pixel that it lies in.
        """
        size = images.shape[-1]
        maps = np.zeros((len(images), size, size), np.float32)
        for filled, (x, y, width, height) in zip(maps, np.asarray(boxes, np.float64), strict=True):
            filled[_span(y, height, size), _span(x, width, size)] = 1
        return torch.from_numpy(maps)


def _span(start: float, length: float, size: int) -> slice:
    first, last = (int(np.clip(np.ceil(edge - 0.5), 0, size)) for edge in (start, start + length))
    if first < last:
        return slice(first, last)
    nearest = int(np.clip(np.floor(start + length / 2), 0, size - 1))
    return slice(nearest, nearest + 1)
