"""Save and load trained models: `weights.safetensors`, and `model.json` that records how they were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ala.encoders import shared_encoder
from ala.encoders.weights import require_finite_weights
from ala.model.adapter import Adapter
from ala.model.blueprint import Blueprint
from ala.model.explained import ExplainedModel, FeatureEncoder
from ala.model.lora import LoraEncoder
from ala.utils.errors import UserError
from ala.utils.files import atomic_path, stamped_sha256, write_json

WEIGHTS, ABOUT, ENCODER = "weights.safetensors", "model.json", "encoder.safetensors"
_AGAIN = "run the train stage again"


def save_model(folder: Path, model: ExplainedModel, about: dict[str, Any]) -> None:
    """Write the adapter's weights (a low-rank update's prefixed `lora.`), and `about` with the blueprint.

    `about` must not hold a clock, a host or a path, so that equal training gives equal files; `encoder_sha256` in it
    ties the model to its encoder.
    """
    tensors = dict(model.adapter.state_dict())
    if isinstance(model.encoder, LoraEncoder):
        tensors |= {f"lora.{name}": tensor for name, tensor in model.encoder.update().items()}
    with atomic_path(Path(folder) / WEIGHTS) as temporary:
        temporary.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))
    write_json(Path(folder) / ABOUT, {**about, "blueprint": model.adapter.blueprint.model_dump(mode="json")})


def read_about(folder: Path) -> dict[str, Any]:
    """Read `model.json`.

    Raises:
        UserError: it is missing or no JSON object.
    """
    path = Path(folder) / ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {_AGAIN}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not readable as JSON ({error}); {_AGAIN}") from None
    if not isinstance(about, dict) or not isinstance(about.get("blueprint"), dict):
        raise UserError(f"{path} holds no blueprint of a model; {_AGAIN}")
    return about


def load_model(folder: Path, encoder_folder: Path, device: str | torch.device = "cpu") -> ExplainedModel:
    """Load the model in `folder` with the encoder in `encoder_folder`, on `device`.

    Raises:
        UserError: a file is missing or unreadable, the weights are of another architecture than `model.json` says
            (the first such key is named) or not finite, or the model was trained on another encoder.
    """
    about = read_about(folder)
    trained_on, found = about.get("encoder_sha256"), sha256_of(encoder_folder)
    if trained_on is not None and trained_on != found:
        raise UserError(
            f"{Path(folder) / ABOUT} was trained on the encoder {str(trained_on)[:12]}, but {encoder_folder} holds"
            f" {found[:12]}; {_AGAIN}"
        )
    encoder: FeatureEncoder = shared_encoder(Path(encoder_folder), torch.device(device))
    return restore(folder, encoder).to(device)


def sha256_of(encoder_folder: Path) -> str:
    """Return the sha256 of the encoder's weights.

    Raises:
        UserError: there are none.
    """
    path = Path(encoder_folder) / ENCODER
    if not path.is_file():
        raise UserError(f"{path} does not exist; run the encoder stage first")
    return stamped_sha256(path)


def restore(folder: Path, encoder: FeatureEncoder) -> ExplainedModel:
    """Load the model in `folder` with `encoder`, assumed to be the one that it was trained on.

    Raises:
        UserError: as :func:`load_model`.
    """
    folder = Path(folder)
    try:
        blueprint = Blueprint.model_validate_json(json.dumps(read_about(folder)["blueprint"]))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{folder / ABOUT}: blueprint.{place}: {first['msg'].lower()}; {_AGAIN}") from None
    for feature, channels in blueprint.channels.items():
        if encoder.feature_channels.get(feature) != channels:
            raise UserError(
                f"{folder / ABOUT} needs encoder feature {feature} with {channels} channels, but the encoder has"
                f" {encoder.feature_channels.get(feature, 'no such feature')}; {_AGAIN}"
            )
    path = folder / WEIGHTS
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {_AGAIN}") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no safetensors file or is cut off ({error}); {_AGAIN}") from None
    adapter = Adapter(blueprint)
    expected: dict[str, Tensor] = dict(adapter.state_dict())
    lora = LoraEncoder(encoder, blueprint.lora, blueprint.features) if blueprint.lora is not None else None
    if lora is not None:
        expected |= {f"lora.{name}": tensor for name, tensor in lora.update().items()}
    _same_architecture(path, expected, tensors)
    require_finite_weights(path, tensors)
    adapter.load_state_dict({name: tensors[name] for name in adapter.state_dict()})
    if lora is not None:
        lora.load_update({name: tensors[f"lora.{name}"] for name in lora.update()})
    return ExplainedModel(encoder if lora is None else lora, adapter)


def _same_architecture(path: Path, expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            problem = f"lacks {name}"
        elif name not in expected:
            problem = f"holds {name}, which the model does not have"
        elif expected[name].shape != found[name].shape:
            problem = f"has {name} of shape {tuple(found[name].shape)}, not {tuple(expected[name].shape)}"
        else:
            continue
        raise UserError(f"{path} {problem}: it is of another architecture than {ABOUT} says; {_AGAIN}")
