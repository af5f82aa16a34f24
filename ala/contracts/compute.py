"""Choose and record how a network is run: precision, device, threads and batch.

Autocast runs matrix products and convolutions in bfloat16 (8 bits of mantissa) and keeps weights, sums and softmax in
float32. In training, the loss, gradients of weights and both optimisers stay float32, too; bfloat16 has float32's
range, so the loss needs no scaling. Validation is float32 whatever training is: it chooses the epoch. What bfloat16
changes is measured by `python -m benchmarks.precision` and `python -m benchmarks.training_precision`
(docs/performance.md).
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from ala.utils.errors import UserError

Precision = Literal["fp32", "bf16"]


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context in which a network runs in `precision`; for `fp32` it changes nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def require_precision(precision: Precision, device: torch.device, setting: str) -> None:
    """Check that `device` computes in `precision`.

    A CPU computes bfloat16 in any case, slowly where it has no instructions for it. A GPU must have it in hardware
    (Ampere and later); older ones emulate it and are slower than in float32.

    Args:
        setting: the name of the setting that chose `precision`, for the message.

    Raises:
        UserError: `precision` is bf16 and the GPU has no bfloat16.
    """
    if precision == "fp32" or device.type != "cuda":
        return
    with torch.cuda.device(device):
        if not torch.cuda.is_bf16_supported(including_emulation=False):
            raise UserError(
                f"{setting} is bf16, but {torch.cuda.get_device_name(device)} has no bfloat16 in hardware; set it to"
                " fp32"
            )


def used(device: torch.device, precision: Precision, batch: int) -> dict[str, Any]:
    """Describe how a network was run, to be written with its results.

    A function of settings and machine: the same run on the same machine gives the same content.

    Args:
        device: where the network lives.
        precision: of its forward pass.
        batch: images per forward pass, or per step of a training.

    Returns:
        `precision`, `device` (`cpu`, `cuda`), `gpu` (its name, None on a CPU), `threads` (of torch) and `batch`.
    """
    return {
        "precision": precision,
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "batch": batch,
    }
