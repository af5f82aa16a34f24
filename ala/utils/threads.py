"""Split a batch into lanes, groups of a few images, and run each lane on one thread.

Torch splits every operation over all threads. The layers of a small model are too short for that: threads wait for each
other after each layer, and everything between layers runs on one thread. Lanes do not wait for each other, and each
lane's activations stay in its core's cache. The images are also made within the lanes (`fill`), so that no core waits
while another prepares an image.

A CPU's matrix product uses different kernels for different shapes, so the last bits of a prediction depend on the
number of images per forward pass. Lanes all have the same number: the last lane is padded with zeros. So predictions
are the same bytes whatever the batch and the number of threads, as long as batches begin where lanes do
(docs/determinism.md).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier

import torch
from torch import Tensor

_MOST = 16  # images
_PIXELS = (
    _MOST * 80 * 80
)  # of a lane; with fewer the layers are too short, with more small batches keep few threads busy


def lane(image_size: int) -> int:
    """Return the number of images in a lane, a power of two from 1 to 16: about the pixels of 16 images of 80 x 80."""
    return min(_MOST, 1 << (max(1, _PIXELS // image_size**2).bit_length() - 1))


def whole_lanes(batch: int, image_size: int, device: torch.device) -> int:
    """Round `batch` up to whole lanes of images of size `image_size` on a CPU, so that the next batch begins with a
    lane.
    """
    width = lane(image_size)
    return -(-batch // width) * width if device.type == "cpu" else batch


def in_flight(image_size: int, device: torch.device) -> int:
    """Return the number of images of size `image_size` in the lanes that may run at the same time; 0 without lanes."""
    return torch.get_num_threads() * lane(image_size) if device.type == "cpu" else 0


def in_lanes(
    score: Callable[[Tensor], Tensor], images: Tensor, fill: Callable[[int, int], None] | None = None
) -> Tensor:
    """Compute `score(images)`, on a CPU lane by lane on as many threads as torch would use.

    On other devices, or when gradients are enabled, `fill` and `score` are called directly.

    Args:
        score: images `(B, ...)` to predictions `(B, ...)`; a prediction does not depend on the other images, and calls
            may run at the same time.
        images: the batch; its last dimension is the image size that determines the lanes.
        fill: `fill(start, stop)` writes `images[start:stop]` before they are scored, on the thread that scores them;
            calls may run at the same time.
    """
    if images.device.type != "cpu" or torch.is_grad_enabled() or not len(images):
        if fill is not None:
            fill(0, len(images))
        return score(images)
    width = lane(images.shape[-1])
    threads, inference = torch.get_num_threads(), torch.is_inference_mode_enabled()

    def predictions(start: int) -> Tensor:
        some = images[start : start + width]
        with torch.inference_mode(inference), torch.no_grad():  # both are set per thread
            if fill is not None:
                fill(start, start + len(some))
            if len(some) == width:
                return score(some)
            return score(torch.cat([some, some.new_zeros(width - len(some), *some.shape[1:])]))[: len(some)]

    starts = range(0, len(images), width)
    return torch.cat(list(map(predictions, starts) if threads == 1 else _team(threads).map(predictions, starts)))


@cache
def _team(workers: int) -> ThreadPoolExecutor:
    """Start `workers` threads that run torch operations on one thread each; the caller's thread count is unchanged."""
    before = torch.get_num_threads()
    together = Barrier(workers)

    def begin() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread adopts the number that is set at its first query: now

    pool = ThreadPoolExecutor(workers, "lane", initializer=begin)
    for _ in pool.map(lambda _: together.wait(), range(workers)):  # so that all have begun
        pass
    torch.set_num_threads(before)  # the number is also the default of threads started later
    return pool
