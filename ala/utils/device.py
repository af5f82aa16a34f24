"""Choose the device for tensors."""

from __future__ import annotations

import torch

from ala.utils.errors import UserError


def resolve(name: str = "auto") -> torch.device:
    """Return the torch device called `name`; `auto` is the first GPU if there is one, else the CPU.

    Raises:
        UserError: torch does not know the name, or the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise UserError(f"device {name!r} is not available here; use --device auto or --device cpu") from None
    return device
