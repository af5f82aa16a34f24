"""Timing in turns: some images of a job, then the bare model on some ready-made batches, and again.

So both see the same moment of a machine whose speed drifts. While the bare model runs, the job's clock stops.
Efficiency of a turn is images per second of the job over those of the bare model. The job's time is all of its own
work; what it does before its first forward pass and after its last one is shared out among the turns of all its runs,
because it serves all of them: libraries that rank all images beforehand would seem faster than they are, and short jobs
slower.
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

from ala.utils.threads import in_lanes
from benchmarks.engine.budget import bare


class Paired(nn.Module):
    """Takes the place of `model` while it is timed.

    Args:
        model: a Classifier.
        least: images of the job in a turn, or more, as its forward passes come.
        batch: images in a forward pass of the bare model.
        turns: how many are wanted.
        device: where it lives.
        engine: it is our engine that runs. It tells of its forward passes by :meth:`tick`, because threads share them
            out (`ala.utils.threads`); deletion's empty image, which all images share, it requests apart. Once there
            are enough turns, its clock stops and the model gives all classes the same probability: the rest of the job
            costs little and fills as much memory as it would.
        whole: the run is timed to its end, whatever `engine` says.
    """

    def __init__(
        self, model: Any, least: int, batch: int, turns: int, device: torch.device, engine: bool = False,
        whole: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self._model = (model,)  # in a tuple, so that no library looks into it
        self.preprocessing = model.preprocessing
        self._least, self._bare, self._turns = least, bare(least, batch), turns
        self._device, self._engine, self._whole = device, engine, whole
        image_size = model.preprocessing.size
        self._ready = torch.randn(batch, 3, image_size, image_size, generator=torch.manual_seed(1)).to(device)
        with torch.inference_mode():
            self._classes = model(self._ready[:1]).shape[1]  # one image, and a batch, so that all is warm
        self._run_bare(1)
        self.turns: list[tuple[int, float, float]] = []  # images and seconds of the job, images per second of the bare
        self.images = self._since = 0
        self._spent = self._around = 0.0
        self._last = 0.0
        self._inside = False  # the run has begun its first forward pass
        self._cut = False  # the run went on after the last turn

    @property
    def over(self) -> bool:
        return len(self.turns) >= self._turns

    @property
    def _closed(self) -> bool:
        """The clock stops for good."""
        return self._engine and self.over and not self._whole

    def forward(self, images: Tensor) -> Tensor:
        empty = not images.any()  # alone, or with the zeros that fill its lane up
        if self._closed and not empty:
            self._cut = True
            return images.new_full((len(images), self._classes), 1 / self._classes)
        if not self._inside:
            self._inside = True
            self._around += self._lap()
        predictions: Tensor = self._model[0](images)
        if not self._engine or empty:
            self.tick(1 if self._engine else len(images))
        return predictions

    def tick(self, images: int) -> None:
        """The job has seen so many images more; run the bare model if it is its turn."""
        if self._closed:
            return
        self._spent += self._lap()
        self.images += images
        self._since += images
        if self._since >= self._least:
            rate = self._bare / self._run_bare(self._bare // len(self._ready))
            self.turns.append((self._since, self._spent, rate))
            self._since, self._spent = 0, 0.0
        self._lap()

    @torch.inference_mode()
    def _run_bare(self, batches: int) -> float:
        began = self._now()
        for _ in range(batches):
            in_lanes(self._model[0], self._ready)  # the faster way on a CPU, so that no one is flattered
        return self._now() - began

    def _lap(self) -> float:
        """Seconds since the last call."""
        before, self._last = self._last, self._now()
        return self._last - before

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def start(self) -> None:
        """A run begins."""
        self._inside = False
        self._lap()

    def finish(self) -> None:
        """A run is through."""
        if not self._cut:
            self._around += self._lap()

    def efficiencies(self) -> list[float]:
        """Of each turn."""
        around = self._around / self.images  # seconds per image
        return [images / (spent + around * images) / rate for images, spent, rate in self.turns]


def measured(
    run: Callable[[Any], Any], model: Any, least: int, batch: int, turns: int, device: torch.device,
    engine: bool = False, whole: bool = False,
) -> tuple[Any, dict[str, float]]:  # fmt: skip
    """What `run(model)` gives at its first run, and how fast it was in at least `turns` turns, run again for more.

    The facts are images timed, median, least and largest efficiency, number of turns and peak memory (MB). Arguments as
    those of :class:`Paired`; what our engine finds is right for the images whose perturbed images are among the first
    `forwards`.
    """
    paired, found = Paired(model, least, batch, turns, device, engine, whole).eval(), None
    before = settle(device)
    with patch("ala.perturbation.engine.count_forwards", paired.tick) if engine else nullcontext():
        while not paired.over:
            paired.start()
            again = run(paired)
            paired.finish()
            found = again if found is None else found
    shares = paired.efficiencies()
    return found, {
        "forwards": paired.images, "efficiency": statistics.median(shares), "efficiency_min": min(shares),
        "efficiency_max": max(shares), "turns": len(shares), "peak_memory_mb": peak(device) - before,
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
    """Give freed memory back, start the peak again, and tell what is in use (MB)."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 2**20
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    return _resident("VmRSS")


def peak(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else _resident("VmHWM")


def _resident(field: str) -> float:
    """VmRSS (now) or VmHWM (the largest since the last reset) of this process, in MB; Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")
