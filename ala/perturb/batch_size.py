"""How many images a model is best given at a time: found by a short trial, and remembered.

The best batch hangs on the model, the device and the precision, not on the photos. Too small a batch leaves a GPU
idle, too large a one leaves a CPU's caches. On a CPU the choice changes no byte of the results
(:mod:`ala.runtime.threads`), on a GPU nothing beyond rounding.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ala.perturb.frames import Score
from ala.runtime.files import write_json
from ala.runtime.seeds import torch_generator
from ala.runtime.threads import in_lanes, whole_lanes

Batch = int | Literal["auto"]

FILE = Path("state/batch-sizes.json")  # below the project, where DVC runs the command
LARGEST = 1024
SECONDS = 5.0  # the trial ends after this time, with the best batch so far
GAIN = 1.02  # a larger batch must be faster by this factor: a small one needs less memory

_found: dict[str, int] = {}


def resolve(batch: Batch, score: Score, side: int, device: torch.device) -> int:
    """`batch` itself, or :func:`best_batch` where it is `auto`; on a CPU rounded up to whole lanes."""
    return whole_lanes(best_batch(score, side, device) if batch == "auto" else batch, side, device)


def best_batch(score: Score, side: int, device: torch.device) -> int:
    """The power of two with the most images per second on images `(B, 3, side, side)`.

    Tried once per model, device and precision in this process; where DVC runs the command (`DVC_ROOT` is set) the
    answer is also kept in `state/batch-sizes.json`, for the stages after it.
    """
    key = describe(score, side, device)
    if key not in _found:
        _found.update(_remembered())
    if key not in _found:
        _found[key] = _try_sizes(score, side, device)
        print(f"batch size {_found[key]}, the fastest for {key}")
        _remember(key, _found[key])
    return _found[key]


def describe(score: Score, side: int, device: torch.device) -> str:
    """Model, device and precision in words, with a digest of the shapes of all weights."""
    owner: Any = getattr(score, "__self__", score)  # of a bound method
    network = getattr(owner, "model", owner)
    shapes = [(name, tuple(value.shape)) for name, value in network.state_dict().items()] if _is_module(network) else []
    digest = hashlib.sha256(repr(shapes).encode()).hexdigest()[:12]
    precision = getattr(owner, "precision", "fp32")
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    return f"{type(network).__name__} {digest} at {side} x {side}, {precision}, {where}"


def _is_module(network: object) -> bool:
    return isinstance(network, nn.Module)


@torch.inference_mode()
def _try_sizes(score: Score, side: int, device: torch.device) -> int:
    best, best_rate, batch, began = 1, 0.0, 1, time.perf_counter()
    while batch <= LARGEST:
        noise = torch_generator(0, "batch size", device=device)  # the global stream stays as it is
        images = torch.randn(batch, 3, side, side, device=device, generator=noise)
        try:
            rate = batch / _seconds(score, images, device)
        except torch.OutOfMemoryError:
            break
        if rate > best_rate * GAIN:
            best, best_rate = batch, rate
        elif batch >= 4 * best:  # twice no better
            break
        if time.perf_counter() - began > SECONDS:
            break
        batch *= 2
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return best


def _seconds(score: Score, images: torch.Tensor, device: torch.device) -> float:
    """The faster of two calls, after one that warms up."""
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        in_lanes(score, images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - began)
    return min(taken[1:])


def _path() -> Path | None:
    root = os.environ.get("DVC_ROOT")
    return Path(root) / FILE if root else None


def _remembered() -> dict[str, int]:
    path = _path()
    if path is None or not path.exists():
        return {}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}  # a note of no worth beyond the time it saves; it is written anew
    return {key: size for key, size in kept.items() if isinstance(size, int) and size > 0}


def _remember(key: str, size: int) -> None:
    path = _path()
    if path is not None:
        write_json(path, _remembered() | {key: size})
