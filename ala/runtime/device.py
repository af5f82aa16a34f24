"""Where tensors live."""

from __future__ import annotations

import torch

from ala.runtime.errors import UserError
from ala.runtime.memory import keep_freed_memory


def resolve(name: str = "auto") -> torch.device:
    """`auto` is the first GPU if there is one, else the CPU; anything else is torch's own name of a device.

    The process is made ready for heavy work there, too (:mod:`ala.runtime.memory`).

    Raises:
        UserError: torch does not know the name, or the machine has no such device.
    """
    keep_freed_memory()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise UserError(f"device {name!r} is not available here; use --device auto or --device cpu") from None
    return device
