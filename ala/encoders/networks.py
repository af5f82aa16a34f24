"""timm networks of encoders: built by name or from an open_clip configuration, and set to an input size."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any

import ala.utils.torchvision_import  # noqa: F401  (before timm)

# isort: split
import timm
import torch
from timm.layers import QuickGELU
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from ala.contracts.preprocessing import Preprocessing
from ala.encoders.encoder import Encoder, is_transformer
from ala.utils.errors import UserError


def make_encoder(
    description: Mapping[str, Any], preprocessing: Preprocessing, grid: int, text_features: Tensor | None = None
) -> Encoder:
    """Build the encoder that `description` names, with random weights.

    Args:
        description: `name` (`timm:NAME` or `open_clip:NAME`) with timm's `options` or open_clip's `config`.
        preprocessing: input size S and normalisation.
        grid: size g of the features' maps, read for networks that are no Vision Transformers.
        text_features: unit vectors `(K, D)` of the classes.

    Raises:
        UserError: timm has no such model, it does not take the options, or S does not fit it.
    """
    network: nn.Module
    head: nn.Module
    if "config" in description:
        network, head = clip_network(description["config"])
    else:
        network, head = timm_network(description["name"].removeprefix("timm:"), description["options"]), nn.Identity()
    set_input_size(network, preprocessing.size)
    return Encoder(network, head, dict(description), preprocessing, grid, text_features)


def timm_network(name: str, options: Mapping[str, Any], pretrained: bool = False) -> nn.Module:
    """Build timm's network `name` without its classifier; random weights unless `pretrained`, which downloads.

    Raises:
        UserError: timm has no such model, or the model does not take the options.
    """
    plain, _, tag = name.partition(".")
    if not timm.is_model(plain):
        raise UserError(f"encoder.name: timm has no model {plain!r}; {near(plain, timm.list_models())}")
    tags = timm.list_pretrained(f"{plain}.*") if tag else []
    if tag and name not in tags:
        raise UserError(f"encoder.name: timm has no weights {tag!r} of {plain}; {near(name, tags)}")
    try:
        return timm.create_model(name, pretrained=pretrained, **{**options, "num_classes": 0})
    except (TypeError, RuntimeError, AssertionError, AttributeError, ValueError) as error:
        if pretrained:
            raise
        raise UserError(
            f"encoder.options: timm's {name} cannot be built with {dict(options)} ({' '.join(str(error).split())});"
            " change or remove them"
        ) from None


def clip_network(config: Mapping[str, Any]) -> tuple[VisionTransformer, nn.Linear]:
    """Build open_clip's Vision Transformer of `config` as timm's, and the projection to CLIP's embedding.

    Args:
        config: `embed_dim`, `vision_cfg` and `quick_gelu` of an open_clip configuration, checked by
            :func:`ala.encoders.clip_source.check_tower`.
    """
    vision = config["vision_cfg"]
    width = vision["width"]
    late = vision.get("final_ln_after_pool", False)
    gelu = partial(nn.GELU, **vision.get("act_kwargs") or {})
    network = VisionTransformer(
        img_size=vision["image_size"], patch_size=vision["patch_size"], num_classes=0, embed_dim=width,
        depth=vision["layers"], num_heads=width // vision.get("head_width", 64), mlp_ratio=vision.get("mlp_ratio", 4.0),
        init_values=vision.get("ls_init_value"), global_pool="avg" if vision.get("pool_type") == "avg" else "token",
        pre_norm=not vision.get("no_ln_pre", False), fc_norm=late,
        norm_layer=partial(nn.LayerNorm, **{"eps": 1e-5, **(vision.get("norm_kwargs") or {})}),
        act_layer=QuickGELU if config.get("quick_gelu") else gelu,
    )  # fmt: skip
    return network, nn.Linear(width, config["embed_dim"], bias=False)


def near(name: str, names: Collection[str]) -> str:
    """Word a remedy for an unknown name: those of `names` that are spelled most like it."""
    found = get_close_matches(name, names, n=4, cutoff=0.5) or sorted(names)[:4]
    return f"near ones are {', '.join(found)}" if found else "there are none"


#: Parts of open_clip's parameter names and what they are called in timm.
_RENAMED = {
    "conv1.": "patch_embed.proj.", "class_embedding": "cls_token", "positional_embedding": "pos_embed",
    "ln_pre.": "norm_pre.", "transformer.resblocks.": "blocks.", "ln_1.": "norm1.", "ln_2.": "norm2.",
    "attn.in_proj_": "attn.qkv.", "attn.out_proj.": "attn.proj.", "mlp.c_fc.": "mlp.fc1.", "mlp.c_proj.": "mlp.fc2.",
    "ls_1.": "ls1.", "ls_2.": "ls2.",
}  # fmt: skip


def load_clip_tower(network: VisionTransformer, head: nn.Linear, tower: Mapping[str, Tensor]) -> None:
    """Copy the state dict of open_clip's Vision Transformer into what :func:`clip_network` built."""
    weights = dict(tower)
    head.load_state_dict({"weight": weights.pop("proj").T})
    weights["class_embedding"] = weights["class_embedding"][None, None]  # (1, 1, C)
    weights["positional_embedding"] = weights["positional_embedding"][None]  # (1, 1 + n, C)
    late = isinstance(network.norm, nn.Identity)  # the last norm comes after pooling
    renamed = {}
    for name, tensor in weights.items():
        for theirs, ours in (_RENAMED | {"ln_post.": "fc_norm." if late else "norm."}).items():
            name = name.replace(theirs, ours)
        renamed[name] = tensor
    if network.patch_embed.proj.bias is not None:  # timm leaves it out only before a norm, open_clip always
        renamed["patch_embed.proj.bias"] = torch.zeros_like(network.patch_embed.proj.bias)
    network.load_state_dict(renamed)


def set_input_size(network: Any, size: int) -> None:
    """Set a network to images of `size` pixels, in place; a Vision Transformer's learned positions are resized.

    Raises:
        UserError: the size is no multiple of a Vision Transformer's patch, or does not fit another network.
    """
    if not hasattr(network, "set_input_size"):
        return  # convolutions take any size
    if not is_transformer(network):
        try:
            network.set_input_size(size)
        except (AssertionError, ValueError, RuntimeError) as error:
            raise UserError(
                f"data.input_size ({size}) does not fit the encoder ({' '.join(str(error).split())}); choose another"
            ) from None
        return
    patch = network.patch_embed.patch_size[0]
    if size % patch:
        raise UserError(f"data.input_size ({size}) must be a multiple of the encoder's patch of {patch} pixels")
    learned = getattr(network, "pos_embed", None)
    if network.patch_embed.grid_size == (size // patch, size // patch):
        return
    network.set_input_size(size)
    if learned is not None:
        prefix = network.pos_embed.shape[1] - (size // patch) ** 2  # class and register tokens
        resized = resize_positions(learned.detach()[0], size // patch, prefix)
        network.pos_embed = nn.Parameter(resized[None], requires_grad=learned.requires_grad)


def resize_positions(embedding: Tensor, grid: int, prefix: int = 1) -> Tensor:
    """Resize the position embedding `(prefix + n, C)` of a square grid to `(prefix + grid², C)`.

    Bicubic, `align_corners=False`, no antialias (METHODS 2.2, step 2); positions of the first `prefix` tokens stay.
    """
    grid_size = round((len(embedding) - prefix) ** 0.5)
    first, patches = embedding[:prefix], embedding[prefix:]
    patches = patches.T.reshape(1, -1, grid_size, grid_size)  # (1, C, grid_size, grid_size)
    patches = F.interpolate(patches, size=(grid, grid), mode="bicubic", align_corners=False, antialias=False)
    return torch.cat([first, patches.flatten(2)[0].T])  # (prefix + grid², C)
