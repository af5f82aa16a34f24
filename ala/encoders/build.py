"""Build a frozen encoder from settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ala.config.inputs import no_weights
from ala.config.schema import Encoder
from ala.contracts.origin import RANDOM_WEIGHTS
from ala.contracts.preprocessing import Preprocessing
from ala.encoders.frozen import FrozenEncoder
from ala.encoders.text import class_features, prompts
from ala.encoders.weights import read_weights
from ala.utils.errors import UserError
from ala.utils.files import sha256

if TYPE_CHECKING:  # open_clip and timm take seconds to import; only the one that is needed is
    import open_clip

    from ala.encoders.clip_source import Tokeniser

#: Trains an open_clip model: its configuration and the images' preprocessing to the model and its tokeniser.
Trainer = Callable[[dict[str, Any], Preprocessing], "tuple[open_clip.CLIP, Tokeniser]"]


def build_encoder(
    settings: Encoder,
    input_size: int,
    grid: int,
    class_names: Sequence[str],
    captions: Sequence[Sequence[str]] | None = None,
    trainer: Trainer | None = None,
    file: Path | None = None,
) -> FrozenEncoder:
    """Build and freeze the encoder that `settings` name; its `source` records what it was made from.

    Args:
        settings: the profile's `encoder` block.
        input_size: side S of its input in pixels.
        grid: side g of the taps of a convolutional encoder; a Vision Transformer's follows from its patch.
        class_names: CUB folder names of the K classes; they become prompts where there are no captions.
        captions: one or more texts for each class instead of prompts.
        trainer: trains the model where `settings.pretrain` is given.
        file: a weight file in place of what `settings.pretrained` names.

    Raises:
        UserError: no such model, weights absent, unreadable or of another architecture, or sizes do not fit.
    """
    preprocessing = Preprocessing.named(input_size, settings.norm)
    if settings.kind == "timm":
        return _build_conv(settings, preprocessing, grid, file)
    return _build_clip(settings, preprocessing, captions or prompts(class_names), trainer, file)


def _build_conv(settings: Encoder, preprocessing: Preprocessing, grid: int, file: Path | None) -> FrozenEncoder:
    from ala.encoders.conv import ConvEncoder, load_network

    if file is None:
        raise UserError(no_weights(settings))
    options = dict(settings.options)
    network = load_network(settings.name, options, read_weights(file), file)
    encoder = ConvEncoder(network, settings.name, options, preprocessing, grid)
    encoder.source = {"name": settings.name, "norm": settings.norm, "file": file.name, "sha256": sha256(file)}
    return encoder


def _build_clip(
    settings: Encoder,
    preprocessing: Preprocessing,
    texts: Sequence[Sequence[str]],
    trainer: Trainer | None,
    file: Path | None,
) -> FrozenEncoder:
    from ala.encoders.clip_source import load_clip, random_clip, read_config
    from ala.encoders.clip_vit import ClipVit

    source: dict[str, Any] = {"name": settings.name, "norm": settings.norm, "texts": [list(words) for words in texts]}
    if settings.pretrain is not None:
        if trainer is None:
            raise UserError(
                "encoder.pretrain needs captioned drawings, which only data.source birdlets has; set it to null"
            )
        config = read_config(settings.name)
        model, tokenise = trainer(config, preprocessing)
        source["pretrain"] = settings.pretrain.model_dump()
    elif settings.random_weights:
        model, tokenise, config = random_clip(settings.name)
        source["weights"] = RANDOM_WEIGHTS
    else:
        model, tokenise, config, path = load_clip(settings, file)
        tag = settings.pretrained if file is None else None
        source |= {"pretrained": tag, "file": path.name, "sha256": sha256(path)}
    features = class_features(model.eval(), tokenise, texts)  # (K, D)
    encoder = ClipVit(model.visual, config, preprocessing, features.cpu()).cpu()
    encoder.source = source
    return encoder
