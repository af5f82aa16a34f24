"""Load open_clip models: configurations, weight files, text towers; and make encoders of their image towers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ala.utils.torchvision_import  # noqa: F401  (before open_clip)

# isort: split
import open_clip
from open_clip.transformer import QuickGELU, ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from ala.config.inputs import no_weights
from ala.config.schema import EncoderSettings
from ala.contracts.preprocessing import Preprocessing
from ala.encoders.encoder import Encoder
from ala.encoders.networks import clip_network, load_clip_tower, near, set_input_size
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
    ours = [file.stem for file in sorted(CONFIGS.glob("*.json"))]
    raise UserError(
        f"encoder.name: {name!r} is neither in ala/encoders/configs ({', '.join(ours)}) nor a model of open_clip;"
        f" {near(name, [*ours, *open_clip.list_models()])}"
    )


def build_config(settings: EncoderSettings) -> dict[str, Any]:
    """Read the configuration that `settings` name, with QuickGELU where the name's weights were trained with it.

    Raises:
        UserError: no such model or weights, or an image tower of timm's.
    """
    config = read_config(settings.model)
    check_config(config)
    return {**config, "quick_gelu": True} if _offered(settings).get("quick_gelu") else config


def load_clip(
    settings: EncoderSettings, file: Path | None = None
) -> tuple[open_clip.CLIP, Tokeniser, dict[str, Any], Path]:
    """Load the whole pre-trained model that `settings` name, with its tokeniser, configuration and weight file.

    `file` is a weight file of the user's, in place of the one that the name's tag means.

    Weights trained with QuickGELU (open_clip says so of each tag; all of OpenAI's) get a model with QuickGELU. So does
    a local file in OpenAI's own form (:data:`OPENAI_ONLY`); of others the name decides, e.g. `ViT-B-16-quickgelu`.

    Raises:
        UserError: no such model or tag, no network, a file that is unreadable or of another architecture.
    """
    config = _config_with_text(settings.model)
    if file is None:
        config, path = build_config(settings), _downloaded(settings)
    else:
        path = file
    weights = read_weights(path)
    if weights.keys() >= OPENAI_ONLY:
        config = {**config, "quick_gelu": True}
    model = _build(config)
    fit_weights(model, weights, path, f"the open_clip model {settings.model}", spare=OPENAI_ONLY)
    if settings.tag == "openai" and file is None:
        require_quick_gelu(model.visual, settings.tag)
    return model.eval(), open_clip.get_tokenizer(settings.model), config, path


def random_clip(name: str) -> tuple[open_clip.CLIP, Tokeniser, dict[str, Any]]:
    """Build the whole open_clip model `name` with reproducible random weights, its tokeniser and configuration.

    Raises:
        UserError: no such model, or none with a text tower and tokeniser of OpenAI's form.
    """
    config = _config_with_text(name)
    seed_everything(0, "encoder", "random weights")
    return _build(config).eval(), open_clip.get_tokenizer(name), config


def clip_encoder(
    tower: nn.Module,
    name: str,
    config: dict[str, Any],
    preprocessing: Preprocessing,
    text_features: Tensor | None = None,
) -> Encoder:
    """Make an encoder with the weights of an open_clip model's image tower.

    Args:
        tower: `model.visual`.
        name: `open_clip:NAME`, and `config`, what the model was built from.
        preprocessing: input size S and normalisation.
        text_features: unit vectors `(K, D)` of the classes.

    Raises:
        UserError: S is no multiple of the patch size, or the tower has another form (:func:`check_tower`).
    """
    check_tower(tower)
    kept = tower_config(config)
    network, head = clip_network(kept)
    load_clip_tower(network, head, tower.state_dict())
    set_input_size(network, preprocessing.size)
    return Encoder(network, head, {"name": name, "config": kept}, preprocessing, 0, text_features)


def tower_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the part of an open_clip configuration that describes the image tower."""
    return {key: config[key] for key in ("embed_dim", "vision_cfg", "quick_gelu") if key in config}


def check_config(config: dict[str, Any]) -> None:
    """Refuse an open_clip model configuration whose image tower is timm's.

    Raises:
        UserError: it is.
    """
    tower = config["vision_cfg"].get("timm_model_name")
    if tower:
        raise UserError(
            f"encoder.name: its image tower is timm's {tower}, whose class texts are not encoded here; choose a Vision"
            f" Transformer of open_clip's own, e.g. open_clip:ViT-B-16/openai, or timm's tower alone, timm:{tower}"
        )


def check_tower(tower: nn.Module) -> None:
    """Refuse towers other than plain Vision Transformers, which alone :func:`clip_network` builds.

    Raises:
        UserError: the tower is no plain Vision Transformer with a class token and a square grid.
    """
    plain = (
        isinstance(tower, VisionTransformer)
        and tower.attn_pool is None
        and tower.pool_type in ("tok", "avg")
        and tower.grid_size[0] == tower.grid_size[1]
        and all(type(block) is ResidualAttentionBlock for block in tower.transformer.resblocks)
    )
    if not plain:
        raise UserError(
            f"encoder.name: its image tower ({type(tower).__name__}) is no square Vision Transformer with a class"
            " token or average pooling; choose such a model, e.g. open_clip:ViT-B-16/openai"
        )


def require_quick_gelu(tower: VisionTransformer, tag: str) -> None:
    """Check that the blocks use QuickGELU; weights trained with it silently lose accuracy under plain GELU.

    Raises:
        UserError: a block of the tower has another activation.
    """
    for number, block in enumerate(tower.transformer.resblocks, start=1):
        if not isinstance(block.mlp.gelu, QuickGELU):
            raise UserError(
                f"encoder.name: the weights {tag!r} were trained with QuickGELU, but block {number} of the model "
                f"has {type(block.mlp.gelu).__name__}; name the -quickgelu variant of the model"
            )


def _config_with_text(name: str) -> dict[str, Any]:
    config = read_config(name)
    check_config(config)
    known = name in open_clip.list_models()
    if not known or config.get("custom_text") or "hf_model_name" in config["text_cfg"]:
        raise UserError(
            f"encoder.name: {name} has no text tower and tokeniser of OpenAI's form, so class texts cannot be encoded;"
            " name such a model, e.g. open_clip:ViT-B-16/openai, or set encoder.pretrain and encoder.weights"
        )
    return config


def _build(config: dict[str, Any]) -> open_clip.CLIP:
    model = open_clip.CLIP(**config)
    check_tower(model.visual)
    return model


def _offered(settings: EncoderSettings) -> dict[str, Any]:
    """open_clip's entry for the weights that the name requests; empty where it requests none."""
    if settings.tag is None:
        return {}
    offered = open_clip.get_pretrained_cfg(settings.model, settings.tag)
    if not offered:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(settings.model)) or "none"
        raise UserError(f"encoder.name: open_clip has no weights {settings.tag!r} for {settings.model}; it has {tags}")
    return offered


def _downloaded(settings: EncoderSettings) -> Path:
    if settings.tag is None:
        raise UserError(no_weights(settings))
    try:
        return Path(open_clip.download_pretrained(_offered(settings)))
    except UserError:
        raise
    except Exception as error:  # HTTP, socket, file and hub errors of several libraries, with no common base
        raise not_downloaded(settings, error) from None


def not_downloaded(settings: EncoderSettings, error: Exception) -> UserError:
    """Return the error message for weights that could not be fetched; the library's own goes into the log."""
    logging.getLogger(__name__).info("the download failed", exc_info=error)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UserError(
        f"encoder.name: the weights {settings.tag!r} of {settings.model} could not be downloaded ({reason}); connect to"
        " the network or name a local file by inputs.encoder"
    )
