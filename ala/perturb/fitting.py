"""A model called on as many images at a time as the device's memory holds."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from ala.perturb.frames import Score
from ala.runtime.errors import UserError
from ala.runtime.threads import in_lanes


class Fitting:
    """`score`, in smaller pieces where the device has no memory for all images at once; answers stay the same.

    The first time that memory runs out the batch is halved, with a message, and so on down to one image; later calls
    start from the size that was found.
    """

    def __init__(self, score: Score) -> None:
        self._score = score
        self.limit: int | None = None  # images per call, once memory has run out

    def __call__(self, images: Tensor, fill: Callable[[int, int], None] | None = None) -> Tensor:
        """`(B, 3, S, S)` to `(B, K)`; `fill(start, stop)` writes images first (:func:`ala.runtime.threads.in_lanes`).

        Raises:
            UserError: there is no memory for a single image.
        """
        while True:
            try:
                if self.limit is None:
                    return in_lanes(self._score, images, fill)
                if fill is not None:
                    fill(0, len(images))
                return torch.cat([self._score(piece) for piece in images.split(self.limit)])
            except torch.OutOfMemoryError:
                tried = min(self.limit or len(images), len(images))
                if tried == 1:
                    raise UserError(
                        f"{images.device} has no memory for one image of {images.shape[-1]} x {images.shape[-1]}"
                        " pixels; free it or use --device cpu"
                    ) from None
                self.limit = tried // 2
                print(f"out of memory with {tried} images at a time, going on with {self.limit}", file=sys.stderr)
            if images.device.type == "cuda":
                torch.cuda.empty_cache()
