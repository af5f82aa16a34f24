"""A Classifier run in bfloat16, or compiled: faster, and not quite the same answers.

Autocast runs matrix products and convolutions in bfloat16 (8 bits of mantissa) and keeps weights, sums and softmax in
float32. How far maps and areas move is measured by `python -m benchmarks.precision` (docs/performance.md).
"""

from __future__ import annotations

import sys
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ala.config.schema import Engine
from ala.contracts.classifier import Classifier
from ala.perturb.frames import Photos

Precision = Literal["fp32", "bf16"]

#: `auto` takes bfloat16 only where probabilities on the check photos move by less than this in the mean, so that the
#: area under a curve of such probabilities, which is their mean, does too.
TOLERANCE = 1e-3
CHECKED = 16  # photos


class Running:
    """A Classifier in `precision`, compiled or not; it answers in float32.

    Args:
        model: any Classifier; where it has `logits`, softmax is taken of them in float32.
        precision: `fp32` or `bf16`.
        compiled: run the network through `torch.compile`. The first call of every batch size then takes long.
    """

    def __init__(self, model: Classifier, precision: Precision = "fp32", compiled: bool = False) -> None:
        self.model, self.precision, self.preprocessing = model, precision, model.preprocessing
        self._from_logits = hasattr(model, "logits")
        network: Any = model.logits if self._from_logits else model  # type: ignore[attr-defined]
        self._network = torch.compile(network) if compiled else network
        if self._from_logits:
            self.logits = self._run  # what RISE asks for with rise.output: logits

    def __call__(self, images: Tensor) -> Tensor:
        answers = self._run(images)  # (B, K)
        return answers.softmax(-1) if self._from_logits else answers

    def _run(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            answers: Tensor = self._network(images)
        return answers.float()


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware: Ampere and later, AVX512-BF16, AMX."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def running(model: Classifier, settings: Engine, device: torch.device, photos: Photos | None = None) -> Classifier:
    """`model` as the `engine` block wants it run; the model itself for fp32 without compiling.

    `precision: auto` is bfloat16 where the device has it in hardware and where the probabilities of `photos` (the
    first few, whole) move by less than :data:`TOLERANCE` in the mean; else, and without photos, it is float32.
    """
    precision = settings.precision
    if precision == "auto":
        precision = _chosen(model, device, photos)
    if precision == "fp32" and not settings.compile:
        return model
    return Running(model, precision, settings.compile)


@torch.inference_mode()
def _chosen(model: Classifier, device: torch.device, photos: Photos | None) -> Precision:
    if photos is None or not len(photos.image_ids) or not has_fast_bf16(device):
        return "fp32"
    images = model.preprocessing.normalise(photos.pixels(np.arange(min(CHECKED, len(photos.image_ids)))).to(device))
    exact = model(images).float()  # (b, K)
    top = exact.argmax(1, keepdim=True)
    moved = float((Running(model, "bf16")(images) - exact).gather(1, top).abs().mean())
    fits = moved < TOLERANCE
    verdict = "bfloat16" if fits else "float32, since bfloat16 is not close enough"
    print(f"engine.precision auto: probabilities move by {moved:.1e} in bfloat16; using {verdict}", file=sys.stderr)
    return "bf16" if fits else "fp32"
