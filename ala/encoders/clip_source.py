"""Load open_clip models: configurations, weight files, text towers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ala.utils.torchvision_import  # noqa: F401  (before open_clip)

# isort: split
import open_clip
from torch import Tensor

from ala.config.inputs import no_weights
from ala.config.schema import Encoder
from ala.encoders.clip_vit import check_config, check_visual, require_quick_gelu
from ala.encoders.weights import fit_weights, read_weights
from ala.utils.errors import UserError
from ala.utils.seeds import seed_everything

CONFIGS = Path(__file__).parent / "configs"

#: Entries beside the weights that only OpenAI's state dicts hold.
OPENAI_ONLY = frozenset({"input_resolution", "context_length", "vocab_size"})

#: Texts to token ids `(n, context)`.
Tokeniser = Callable[[list[str]], Tensor]


def read_config(name: str) -> dict[str, Any]:
    """Read the open_clip configuration `name`: one of ours in `ala/encoders/configs`, else one of open_clip's own.

    Raises:
        UserError: neither has it.
    """
    path = CONFIGS / f"{name}.json"
    if path.parent == CONFIGS and path.is_file():  # `encoder` depends on this folder, and on no other
        return json.loads(path.read_text(encoding="utf-8"))
    if name in open_clip.list_models():
        return open_clip.get_model_config(name)
    ours = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.json")))
    raise UserError(
        f"encoder.name: {name!r} is neither in ala/encoders/configs ({ours}) nor a model of open_clip; name one of"
        " those, e.g. ViT-B-16"
    )


def load_clip(settings: Encoder, file: Path | None = None) -> tuple[open_clip.CLIP, Tokeniser, dict[str, Any], Path]:
    """Load the whole pre-trained model that `settings` name, with its tokeniser, configuration and weight file.

    `file` is a weight file of the user's, in place of the one that `settings.pretrained` names.

    Weights trained with QuickGELU (open_clip says so of each tag; all of OpenAI's) get a model with QuickGELU. So does
    a local file in OpenAI's own form (:data:`OPENAI_ONLY`); of others the name decides, e.g. `ViT-B-16-quickgelu`.

    Raises:
        UserError: no such model or tag, no network, a file that is unreadable or of another architecture.
    """
    config, path = _weight_file(settings, _config_with_text(settings.name), file)
    weights = read_weights(path)
    if weights.keys() >= OPENAI_ONLY:
        config = {**config, "quick_gelu": True}
    model = _build(config)
    fit_weights(model, weights, path, f"the open_clip model {settings.name}", spare=OPENAI_ONLY)
    if settings.pretrained == "openai" and file is None:
        require_quick_gelu(model.visual, settings.pretrained)
    return model.eval(), open_clip.get_tokenizer(settings.name), config, path


def random_clip(name: str) -> tuple[open_clip.CLIP, Tokeniser, dict[str, Any]]:
    """Build the whole open_clip model `name` with reproducible random weights, its tokeniser and configuration.

    Raises:
        UserError: no such model, or none with a text tower and tokeniser of OpenAI's form.
    """
    config = _config_with_text(name)
    seed_everything(0, "encoder", "random weights")
    return _build(config).eval(), open_clip.get_tokenizer(name), config


def _config_with_text(name: str) -> dict[str, Any]:
    config = read_config(name)
    known = name in open_clip.list_models()
    if not known or config.get("custom_text") or "hf_model_name" in config["text_cfg"]:
        raise UserError(
            f"encoder.name: {name} has no text tower and tokeniser of OpenAI's form, so class texts cannot be encoded;"
            " name such a model, e.g. ViT-B-16, or set encoder.pretrain"
        )
    return config


def _build(config: dict[str, Any]) -> open_clip.CLIP:
    check_config(config)
    model = open_clip.CLIP(**config)
    check_visual(model.visual)
    return model


def _weight_file(settings: Encoder, config: dict[str, Any], file: Path | None) -> tuple[dict[str, Any], Path]:
    if file is not None:
        return config, file
    tag = settings.pretrained
    if tag is None:
        raise UserError(no_weights(settings))
    offered = open_clip.get_pretrained_cfg(settings.name, tag)
    if not offered:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(settings.name)) or "none"
        raise UserError(f"encoder.pretrained: open_clip has no weights {tag!r} for {settings.name}; it has {tags}")
    if offered.get("quick_gelu"):
        config = {**config, "quick_gelu": True}
    try:
        return config, Path(open_clip.download_pretrained(offered))
    except Exception as error:  # HTTP, socket, file and hub errors of several libraries, with no common base
        logging.getLogger(__name__).info("the download failed", exc_info=True)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"encoder.pretrained: the weights {tag!r} of {settings.name} could not be downloaded ({reason}); connect to"
            " the network or name a local file by inputs.encoder"
        ) from None
