"""Save and load a frozen encoder: only its network and the class text features."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ala.contracts.preprocessing import Preprocessing
from ala.encoders.encoder import Encoder, assert_frozen
from ala.encoders.weights import fit_weights, read_weights
from ala.utils.errors import UserError
from ala.utils.files import atomic_path, sha256, write_json

WEIGHTS, ABOUT, TEXT = "encoder.safetensors", "encoder.json", "text_features.safetensors"


def save_encoder(encoder: Encoder, folder: Path, about: dict[str, Any] | None = None) -> None:
    """Write the encoder into `folder`; `encoder.json` comes last and names the hash of the weights.

    It also saves `encoder.source` (what the encoder was made from) and `about` (further information).
    """
    assert_frozen(encoder)
    folder = Path(folder)
    _write_tensors(folder / WEIGHTS, encoder.state_dict())
    if encoder.text_features is None:
        (folder / TEXT).unlink(missing_ok=True)
    else:
        _write_tensors(folder / TEXT, {"text_features": encoder.text_features})
    preprocessing = encoder.preprocessing
    write_json(
        folder / ABOUT,
        {
            "encoder": encoder.description,
            "input_size": preprocessing.size,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "grid": encoder.grid,
            "feature_channels": {str(feature): channels for feature, channels in encoder.feature_channels.items()},
            "has_text": encoder.text_features is not None,
            "sha256": sha256(folder / WEIGHTS),
            "source": encoder.source | (about or {}),
        },
    )


def load_encoder(folder: Path, device: torch.device | str = "cpu") -> Encoder:
    """Load the encoder that :func:`save_encoder` wrote, frozen, on `device`.

    Raises:
        UserError: a file is missing, damaged, or belongs to another encoder.
    """
    folder = Path(folder)
    about = _read_about(folder)
    path = folder / WEIGHTS
    weights = read_weights(path)
    if sha256(path) != about["sha256"]:
        raise UserError(f"{path} is not the file that {folder / ABOUT} tells of; run the encoder stage again")
    text = _read_text(folder / TEXT) if about["has_text"] else None
    preprocessing = Preprocessing(about["input_size"], tuple(about["mean"]), tuple(about["std"]))
    return _make(about, preprocessing, weights, path, text).to(device)


def shared_encoder(folder: Path, device: torch.device | str = "cpu") -> Encoder:
    """Load an encoder by :func:`load_encoder`, once per process while its files are unchanged.

    The encoder is frozen, so the models that use it share it: reading CLIP ViT-B/16 takes seconds, and a stage opens
    six models.

    Raises:
        UserError: as :func:`load_encoder`.
    """
    parts = [Path(folder) / name for name in (ABOUT, WEIGHTS, TEXT)]
    stamps = tuple((part.stat().st_size, part.stat().st_mtime_ns) if part.exists() else None for part in parts)
    return _shared(Path(folder), Path.cwd(), stamps, torch.device(device))


@lru_cache(maxsize=1)
def _shared(folder: Path, start: Path, stamps: tuple[object, ...], device: torch.device) -> Encoder:
    return load_encoder(folder, device)


def _make(
    about: dict[str, Any], preprocessing: Preprocessing, weights: dict[str, Tensor], path: Path, text: Tensor | None
) -> Encoder:
    from ala.encoders.networks import make_encoder

    with torch.random.fork_rng(devices=[]):  # random weights, which the file replaces, move no generator
        encoder = make_encoder(about["encoder"], preprocessing, about["grid"], text)
    fit_weights(encoder, weights, path, f"the model in {ABOUT}")
    encoder.source = about["source"]
    return encoder


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} does not exist; run the encoder stage first") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not readable as JSON ({error}); run the encoder stage again") from None
    needed = {"encoder", "input_size", "mean", "std", "grid", "has_text", "sha256", "source"}
    if not isinstance(about, dict) or not needed <= set(about):
        raise UserError(f"{path} lacks what describes an encoder; run the encoder stage again")
    return about


def _read_text(path: Path) -> Tensor:
    tensors = read_weights(path)
    if "text_features" not in tensors:
        raise UserError(f"{path} holds no text_features; run the encoder stage again")
    return tensors["text_features"]


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    with atomic_path(path) as temporary:  # save_file would report a full disk by an exception of its own
        temporary.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))
