"""Training in bfloat16: faster on devices that multiply it in hardware, and not quite the same weights (METHODS 2.7).

Autocast runs matrix products and convolutions of encoder and adapter in bfloat16 (8 bits of mantissa). Weights, the
loss and its softmax, gradients of weights and both optimisers stay float32, so checkpoints, resume state and random
draws are the same kind in both; bfloat16 has float32's range, so the loss needs no scaling. Validation is float32
whatever training is: it chooses the epoch, and the model that is kept answers in float32. How far the final metrics
move is measured by `python -m benchmarks.training_precision` (docs/performance.md).
"""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


def resolved(wanted: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """`train.precision` on `device`: `auto` is bfloat16 on a GPU that has it in hardware (Ampere and later).

    On a CPU `auto` is float32 even where it has bfloat16: what is trained there is small, and float32 gives the same
    bytes on CPUs with and without it.
    """
    if wanted != "auto":
        return wanted
    if device.type != "cuda":
        return "fp32"
    with torch.cuda.device(device):
        # Older GPUs emulate it and would be slower than in float32.
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def running(precision: Precision, device: torch.device) -> torch.autocast:
    """The context in which encoder and adapter run; for `fp32` it changes nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
