"""Read weight files without running code stored in them, and load them into a module, checking every key."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ala.utils.errors import UserError, reason
from ala.utils.files import UNREADABLE


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a `.safetensors` file or of a torch checkpoint, on the CPU, by name.

    A torch checkpoint may wrap them as `{"state_dict": ...}` and prefix each name with `module.`.

    Raises:
        UserError: the file is missing, damaged, holds anything but tensors, or could run code when opened.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; give the path of a weight file")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, *UNREADABLE) as error:
            raise UserError(f"{path} is no readable safetensors file ({reason(error)}); fetch it again") from None
    if _is_torchscript(path):
        raise UserError(
            f"{path} is a TorchScript archive, which could run code when opened; if you trust it, convert it once:"
            f" python -c \"import torch; torch.save(torch.jit.load({str(path)!r}, 'cpu').state_dict(), 'weights.pt')\""
        )
    try:
        with warnings.catch_warnings():  # of torch, on the pickle's age; the sentence below says what matters
            warnings.simplefilter("ignore", UserWarning)
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, *UNREADABLE) as error:
        raise UserError(
            f"{path} is no readable weight file ({reason(error)}); give a .safetensors file or a plain torch state"
            " dict, files that hold more than tensors are not opened"
        ) from None
    if isinstance(stored, dict) and isinstance(stored.get("state_dict"), dict):
        stored = stored["state_dict"]
    if not isinstance(stored, dict) or not stored or not all(map(_is_named_tensor, stored.items())):
        raise UserError(f"{path} holds no state dict (tensors by name); save `model.state_dict()` instead")
    if all(name.startswith("module.") for name in stored):
        stored = {name.removeprefix("module."): value for name, value in stored.items()}
    return stored


def fit_weights(
    module: nn.Module, weights: Mapping[str, Tensor], path: Path, what: str, spare: Collection[str] = ()
) -> None:
    """Copy `weights` into `module`, which takes every one of its keys from them.

    Args:
        module: the network to fill.
        weights: tensors by name; their type is converted to the network's.
        path: where they were read, for messages.
        what: the network in words, for messages.
        spare: names that the file may hold beyond the network's own, such as a classifier's head.

    Raises:
        UserError: a key is missing, of another shape, unknown, or not finite; the first such key is named.
    """
    own = module.state_dict()
    for name, tensor in own.items():
        if name not in weights:
            raise _misfit(path, what, f"{name} is missing")
        if weights[name].shape != tensor.shape:
            shapes = f"{tuple(weights[name].shape)}, not {tuple(tensor.shape)}"
            raise _misfit(path, what, f"{name} has the shape {shapes}")
    for name in weights:
        if name not in own and name not in spare:
            raise _misfit(path, what, f"{name} is unknown to it")
    require_finite_weights(path, {name: weights[name] for name in own})
    module.load_state_dict({name: weights[name] for name in own})


def require_finite_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that hold NaN or infinity, which every prediction of the model would then hold.

    Raises:
        UserError: it names the first such tensor of `path`.
    """
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            count = int((~tensor.isfinite()).sum())
            raise UserError(
                f"{path} holds NaN or infinity in {name} ({count:,} of {tensor.numel():,} values); train or"
                " fetch it again"
            )


def _is_torchscript(path: Path) -> bool:
    """Whether it is a zip that holds `constants.pkl`, which `torch.jit.save` writes and `torch.save` does not."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except UNREADABLE:
        return False  # torch.load says what is wrong with it


def _misfit(path: Path, what: str, problem: str) -> UserError:
    return UserError(f"{path} does not fit {what}: {problem}; give weights of this architecture or change encoder.name")


def _is_named_tensor(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)
