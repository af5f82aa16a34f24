"""Encoders that this project ships, trained, with the settings that they were trained by.

`python -m stages.encoder --train --out ala/encoders/trained/MODEL` trains one again.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ala.config.schema import Data, EncoderSettings
from ala.encoders.encoder import Encoder
from ala.encoders.folder import load_encoder
from ala.utils.errors import UserError
from ala.utils.files import sha256

PACKAGED = Path(__file__).parent / "trained"

#: Code that decides the weights, in `ala`; its digest is recorded beside them.
_CODE = ("encoders/pretrain.py", "encoders/words.py", "encoders/drawn.py", "data/birdlets")


def load_packaged(settings: EncoderSettings, data: Data) -> tuple[Encoder, dict[str, Any]]:
    """Load the shipped encoder that `settings` name, and its metrics.json.

    Raises:
        UserError: none is shipped under this name, or it was trained by other settings; the first one is named.
    """
    folder = PACKAGED / settings.model
    if not folder.is_dir():
        raise UserError(f"encoder.weights: no weights of {settings.model} are packaged; set it to train")
    encoder = load_encoder(folder)
    recorded = encoder.source["trained_by"]
    for name, value in trained_by(settings, data).items():
        if recorded.get(name) != value:
            raise UserError(
                f"encoder.weights: the packaged weights of {settings.model} were trained with {name}"
                f" {recorded.get(name)}, not {value}; set encoder.weights to train, which takes minutes"
            )
    return encoder, json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def trained_by(settings: EncoderSettings, data: Data) -> dict[str, Any]:
    """Return the settings that decide what pre-training on drawings gives, by their names in params.yaml."""
    assert settings.pretrain is not None  # checked with encoder.weights
    birdlets = data.birdlets.model_dump(include={"species", "clutter", "seed"}) if data.birdlets else {}
    config = Path(__file__).parent / "configs" / f"{settings.model}.json"
    return {
        "encoder.name": settings.name,
        "encoder.norm": settings.norm,
        **{f"encoder.pretrain.{name}": value for name, value in settings.pretrain.model_dump().items()},
        "data.input_size": data.input_size,
        **{f"data.birdlets.{name}": value for name, value in birdlets.items()},
        f"configs/{config.name}": sha256(config) if config.is_file() else None,
    }


def trained_with() -> dict[str, str]:
    """Return versions of libraries and a digest of the code that decide the weights in their last digits."""
    root = Path(__file__).parents[1]
    places = [root / name for name in _CODE]
    files = [file for place in places for file in (sorted(place.glob("*.py")) if place.is_dir() else [place])]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return {"code": digest, **{name: version(name) for name in ("torch", "open-clip-torch", "timm", "numpy", "pillow")}}
