"""Timing in pairs: after every few forward passes of a job, the bare model runs one ready-made batch.

So both see the same moment of a machine whose speed drifts. A slice is the time that the job took for some images, its
own work between forward passes included, and the time of the bare batch that follows; the job's clock stands still
meanwhile. Efficiency is images per second of the job over those of the bare model.
"""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from ala.runtime.threads import in_lanes

GROUPS = 5  # the least number of slices; each is one of the five or more turns whose median is told


class Paired(nn.Module):
    """Stands for `model` while it is timed.

    Args:
        model: a Classifier.
        batch: images of the bare model's batches.
        device: where it lives.
        ticked: forward passes are told by :meth:`tick`, because threads share them out (`ala.runtime.threads`).
    """

    def __init__(self, model: Any, batch: int, device: torch.device, ticked: bool = False) -> None:
        super().__init__()
        self._ticked = ticked
        self._model = (model,)  # in a tuple, so that no library looks into it
        self.preprocessing = model.preprocessing
        self._ready = torch.randn(batch, 3, 224, 224, generator=torch.manual_seed(1)).to(device)
        self._device = device
        self.slices: list[tuple[int, float, float]] = []  # images and seconds of the job, seconds of the bare batch
        self.images = self._since = 0
        self._spent = 0.0
        self._last = time.perf_counter()

    def forward(self, images: Tensor) -> Tensor:
        answers: Tensor = self._model[0](images)
        if not self._ticked:
            self.tick(len(images))
        return answers

    def tick(self, images: int) -> None:
        """The job has seen so many images more; run the bare model if it is its turn."""
        self.images += images
        self._since += images
        self._stop()
        if self._since >= len(self._ready):
            began = self._now()
            with torch.inference_mode():
                in_lanes(self._model[0], self._ready)  # the faster way on a CPU, so that no one is flattered
            self.slices.append((self._since, self._spent, self._now() - began))
            self._since, self._spent = 0, 0.0
        self._last = time.perf_counter()

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def _stop(self) -> None:
        self._spent += self._now() - self._last

    def start(self) -> None:
        """Begin the job's clock."""
        self._last = self._now()

    def finish(self) -> None:
        """Add what the job does after its last forward pass to the last slice."""
        self._stop()
        if self.slices:
            images, spent, bare = self.slices[-1]
            self.slices[-1] = images + self._since, spent + self._spent, bare

    def efficiencies(self) -> list[float]:
        """Of each slice; the first warms up and is left out where enough remain."""
        slices = self.slices[1:] if len(self.slices) > GROUPS else self.slices
        return [images / spent / (len(self._ready) / bare) for images, spent, bare in slices]


def measured(
    run: Callable[[Any], Any], model: Any, batch: int, device: torch.device, engine: bool = False
) -> tuple[Any, dict[str, float]]:
    """What `run(model)` gives, and how fast it was: median, least and largest efficiency, images, peak memory (MB).

    `engine`: it is our engine that runs, which tells of its forward passes by counting them.
    """
    paired = Paired(model, batch, device, ticked=engine).eval()
    before = settle(device)
    with patch("ala.perturb.engine.count_forwards", paired.tick) if engine else nullcontext():
        paired.start()
        result = run(paired)
        paired.finish()
    shares = paired.efficiencies()
    return result, {
        "forwards": paired.images, "efficiency": statistics.median(shares), "efficiency_min": min(shares),
        "efficiency_max": max(shares), "slices": len(shares), "peak_memory_mb": peak(device) - before,
    }  # fmt: skip


@torch.inference_mode()
def images_per_second(model: Any, batch: int, device: torch.device) -> float:
    """Of the bare model, the faster of two forward passes after one that warms up."""
    images = torch.randn(batch, 3, 224, 224, device=device)
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        in_lanes(model, images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - began)
    return batch / min(taken[1:])


def settle(device: torch.device) -> float:
    """Give freed memory back, start the peak anew, and tell what is in use (MB)."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 2**20
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    return _resident("VmRSS")


def peak(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else _resident("VmHWM")


def _resident(field: str) -> float:
    """VmRSS (now) or VmHWM (the largest since the last reset) of this process, in MB; Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")
