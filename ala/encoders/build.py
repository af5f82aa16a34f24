"""Build a frozen encoder from settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ala.config.inputs import no_weights
from ala.config.schema import EncoderSettings
from ala.contracts.origin import RANDOM_WEIGHTS
from ala.contracts.preprocessing import Preprocessing
from ala.encoders.encoder import Encoder
from ala.encoders.text import class_features, prompts
from ala.encoders.weights import fit_weights, read_weights
from ala.utils.errors import UserError
from ala.utils.files import sha256

if TYPE_CHECKING:  # open_clip and timm take seconds to import
    import open_clip

    from ala.encoders.clip_source import Tokeniser

#: Trains an open_clip model: its configuration and the images' preprocessing to the model and its tokeniser.
Trainer = Callable[[dict[str, Any], Preprocessing], "tuple[open_clip.CLIP, Tokeniser]"]


def build_encoder(
    settings: EncoderSettings,
    input_size: int,
    grid: int,
    class_names: Sequence[str],
    captions: Sequence[Sequence[str]] | None = None,
    trainer: Trainer | None = None,
    file: Path | None = None,
) -> Encoder:
    """Build and freeze the encoder that `settings` name; its `source` records what it was made from.

    Args:
        settings: the profile's `encoder` block.
        input_size: S of its input in pixels.
        grid: size g of the features' maps of a convolutional encoder; a Vision Transformer's follows from its patch.
        class_names: CUB folder names of the K classes; they become prompts where there are no captions.
        captions: one or more texts for each class instead of prompts.
        trainer: trains the model where `settings.weights` is `train`.
        file: a weight file in place of what the name's tag means.

    Raises:
        UserError: no such model, weights absent, unreadable or of another architecture, or sizes do not fit.
    """
    preprocessing = Preprocessing.named(input_size, settings.norm)
    if settings.library == "timm":
        return _build_timm(settings, preprocessing, grid, file)
    return _build_clip(settings, preprocessing, captions or prompts(class_names), trainer, file)


def random_encoder(settings: EncoderSettings, input_size: int, grid: int) -> Encoder:
    """Build the network that `settings` name with random weights and without texts.

    Raises:
        UserError: no such model, or the size does not fit it.
    """
    from ala.encoders.networks import make_encoder

    description: dict[str, Any] = {"name": settings.name, "options": dict(settings.options)}
    if settings.library == "open_clip":
        from ala.encoders.clip_source import build_config, tower_config

        description = {"name": settings.name, "config": tower_config(build_config(settings))}
    return make_encoder(description, Preprocessing.named(input_size, settings.norm), grid)


def _build_timm(settings: EncoderSettings, preprocessing: Preprocessing, grid: int, file: Path | None) -> Encoder:
    from ala.encoders.networks import set_input_size, timm_network

    options = dict(settings.options)
    source: dict[str, Any] = {"name": settings.name, "norm": settings.norm}
    if file is not None:
        network = timm_network(settings.model, options)
        load_classifier(network, file, f"the timm model {settings.model}")
        source |= {"file": file.name, "sha256": sha256(file)}
    elif settings.tag is not None:
        network = _fetched(settings, options)
    else:
        raise UserError(no_weights(settings))
    set_input_size(network, preprocessing.size)
    encoder = Encoder(network, nn.Identity(), {"name": settings.name, "options": options}, preprocessing, grid)
    encoder.source = source
    return encoder


def load_classifier(network: nn.Module, file: Path, what: str) -> None:
    """Load the state dict of a whole timm classifier into the network without its classification layer.

    Raises:
        UserError: the file is unreadable or does not fit; the first key that does not is named.
    """
    weights = read_weights(file)
    heads = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    spare = {key for key in weights if any(key.startswith(f"{head}.") for head in heads)}
    fit_weights(network, weights, file, what, spare=spare)


def _fetched(settings: EncoderSettings, options: dict[str, Any]) -> nn.Module:
    from ala.encoders.clip_source import not_downloaded
    from ala.encoders.networks import timm_network

    try:
        return timm_network(settings.model, options, pretrained=True)
    except UserError:
        raise
    except Exception as error:  # HTTP, socket, file and hub errors of several libraries, with no common base
        raise not_downloaded(settings, error) from None


def _build_clip(
    settings: EncoderSettings,
    preprocessing: Preprocessing,
    texts: Sequence[Sequence[str]],
    trainer: Trainer | None,
    file: Path | None,
) -> Encoder:
    from ala.encoders.clip_source import clip_encoder, load_clip, random_clip, read_config

    name = f"open_clip:{settings.model}" if file is not None else settings.name  # the file takes the tag's place
    source: dict[str, Any] = {"name": name, "norm": settings.norm, "texts": [list(words) for words in texts]}
    if settings.weights == "train":
        if trainer is None or settings.pretrain is None:
            raise UserError(
                "encoder.weights train needs captioned drawings, which only data.source birdlets has; set it to"
                " pretrained"
            )
        config = read_config(settings.model)
        model, tokenise = trainer(config, preprocessing)
        source["pretrain"] = settings.pretrain.model_dump()
    elif settings.weights == "random":
        model, tokenise, config = random_clip(settings.model)
        source["weights"] = RANDOM_WEIGHTS
    else:
        model, tokenise, config, path = load_clip(settings, file)
        source |= {"file": path.name, "sha256": sha256(path)}
    features = class_features(model.eval(), tokenise, texts)  # (K, D)
    encoder = clip_encoder(model.visual.cpu(), name, config, preprocessing, features.cpu())
    encoder.source = source
    return encoder
