"""open_clip's Vision Transformer as a frozen encoder with intermediate features, or taps (METHODS 2.2)."""

from __future__ import annotations

from typing import Any

import ala.utils.torchvision_import  # noqa: F401  (before open_clip)

# isort: split
import open_clip
import torch
from open_clip.transformer import QuickGELU, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from ala.contracts.preprocessing import Preprocessing
from ala.encoders.frozen import FrozenEncoder
from ala.encoders.self_attention import fuse_attention
from ala.utils.errors import UserError

# The smallest text tower open_clip builds: only the visual tower of the model is kept.
_NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}


def build_visual(config: dict[str, Any]) -> VisionTransformer:
    """The visual tower of an open_clip model configuration (`embed_dim`, `vision_cfg`, `quick_gelu`), random weights.

    Raises:
        UserError: the tower is no plain Vision Transformer with a class token and a learned position embedding.
    """
    check_config(config)
    model = open_clip.CLIP(
        config["embed_dim"], config["vision_cfg"], _NO_TEXT, quick_gelu=config.get("quick_gelu", False)
    )
    check_visual(model.visual)
    return model.visual


def check_config(config: dict[str, Any]) -> None:
    """Refuse an open_clip model configuration whose image tower is timm's.

    Raises:
        UserError: it is.
    """
    tower = config["vision_cfg"].get("timm_model_name")
    if tower:
        raise UserError(
            f"encoder.name: its image tower is timm's {tower}, which has no taps by open_clip; choose a Vision"
            " Transformer of open_clip's own, e.g. ViT-B-16"
        )


def check_visual(visual: nn.Module) -> None:
    """Refuse towers for which h^(i) of METHODS 2.2 is not defined.

    Raises:
        UserError: see :func:`build_visual`.
    """
    plain = (
        isinstance(visual, VisionTransformer)
        and visual.attn_pool is None
        and visual.pool_type in ("tok", "avg")
        and visual.transformer.batch_first
        and visual.grid_size[0] == visual.grid_size[1]
    )
    if not plain:
        raise UserError(
            f"encoder.name: its image tower ({type(visual).__name__}) is no square Vision Transformer with a class"
            " token or average pooling; choose such a model, e.g. ViT-B-16"
        )


def require_quick_gelu(visual: VisionTransformer, tag: str) -> None:
    """Check that the blocks use QuickGELU; weights trained with it silently lose accuracy under plain GELU.

    Raises:
        UserError: a block of the tower has another activation.
    """
    for number, block in enumerate(visual.transformer.resblocks, start=1):
        if not isinstance(block.mlp.gelu, QuickGELU):
            raise UserError(
                f"encoder.pretrained: the weights {tag!r} were trained with QuickGELU, but block {number} of the model "
                f"has {type(block.mlp.gelu).__name__}; name the -quickgelu variant of the model"
            )


def resize_positions(embedding: Tensor, grid: int) -> Tensor:
    """Resize the position embedding `(1 + n, C)` of a square grid to `(1 + grid², C)`; the class row is unchanged.

    Bicubic, `align_corners=False`, no antialias (METHODS 2.2, step 2).
    """
    side = round((len(embedding) - 1) ** 0.5)
    if side == grid:
        return embedding
    class_row, patches = embedding[:1], embedding[1:]
    patches = patches.T.reshape(1, -1, side, side)  # (1, C, side, side)
    patches = F.interpolate(patches, size=(grid, grid), mode="bicubic", align_corners=False, antialias=False)
    return torch.cat([class_row, patches.flatten(2)[0].T])  # (1 + grid², C)


class ClipVit(FrozenEncoder):
    """Features (taps) of an open_clip Vision Transformer with L blocks: h^(0) after `ln_pre`, h^(i) after block i, i =
    1..L.

    The grid g is S / patch; where it is not the one the weights were trained at, the position embedding is resized.
    Blocks after the last wanted feature are not run. `embed`, `blocks` and `as_map` let other code run single blocks,
    with gradients if needed (LoRA, METHODS 8).

    Args:
        visual: the tower; it is frozen in place.
        config: its open_clip configuration, from which :func:`build_visual` makes it again.
        preprocessing: input side S and normalisation.
        text_features: unit vectors `(K, D)` of the classes.

    Raises:
        UserError: S is no multiple of the patch size, or the tower has another form (:func:`check_visual`).
    """

    def __init__(
        self,
        visual: VisionTransformer,
        config: dict[str, Any],
        preprocessing: Preprocessing,
        text_features: Tensor | None = None,
    ) -> None:
        check_visual(visual)
        patch = visual.patch_size[0]
        if preprocessing.size % patch:
            raise UserError(
                f"data.input_size ({preprocessing.size}) must be a multiple of the encoder's patch of {patch} pixels"
            )
        grid = preprocessing.size // patch
        width = visual.conv1.out_channels
        depth = len(visual.transformer.resblocks)
        super().__init__(preprocessing, grid, dict.fromkeys(range(depth + 1), width), text_features)
        fuse_attention(visual.transformer)
        self.visual = visual
        self.config = {key: config[key] for key in ("embed_dim", "vision_cfg", "quick_gelu") if key in config}
        positions = resize_positions(visual.positional_embedding.detach(), grid)
        self.register_buffer("positions", positions.clone(), persistent=False)  # (1 + g², C)
        self.freeze()

    positions: Tensor

    @property
    def blocks(self) -> nn.ModuleList:
        """The residual blocks; block i of METHODS is `blocks[i - 1]`."""
        return self.visual.transformer.resblocks

    def embed(self, images: Tensor) -> Tensor:
        """Embed images as the tokens `(B, 1 + g², C)` that enter block 1, the class token first: h^(0)."""
        patches = self.visual.conv1(images).flatten(2).mT  # (B, g², C)
        first = self.visual.class_embedding.expand(len(images), 1, -1)  # (B, 1, C)
        return self.visual.ln_pre(torch.cat([first, patches], dim=1) + self.positions)

    def as_map(self, tokens: Tensor) -> Tensor:
        """View tokens `(B, 1 + g², C)` as a map `(B, C, g, g)` without the class token, channels last in memory.

        LayerNorm over channels then reads it in order, and convolutions need no copy.
        """
        return tokens[:, 1:].mT.unflatten(2, (self.grid, self.grid))

    def tokens(self, images: Tensor, wanted: list[int]) -> dict[int, Tensor]:
        """Compute tokens `(B, 1 + g², C)`, class token included, at the wanted features; later blocks are not run."""
        found = {}
        x = self.embed(images)
        for tap in range(max(wanted) + 1):
            if tap > 0:
                x = self.blocks[tap - 1](x)  # (B, 1 + g², C)
            if tap in wanted:
                found[tap] = x
        return found

    def _taps(self, images: Tensor, wanted: list[int]) -> dict[int, Tensor]:
        return {tap: self.as_map(x) for tap, x in self.tokens(images, wanted).items()}

    def _pooled(self, images: Tensor) -> Tensor:
        return self.project(self.tokens(images, [self.last_tap])[self.last_tap])

    def project(self, tokens: Tensor) -> Tensor:
        """Project tokens `(B, 1 + g², C)` of the last feature to CLIP's image embedding `(B, D)`."""
        visual = self.visual
        if visual.final_ln_after_pool:
            return visual.ln_post(self._pool(tokens)) @ visual.proj
        return self._pool(visual.ln_post(tokens)) @ visual.proj

    def _pool(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0] if self.visual.pool_type == "tok" else tokens[:, 1:].mean(dim=1)

    def description(self) -> dict[str, Any]:
        return {"kind": "open_clip", "config": self.config}

    def weights(self) -> dict[str, Tensor]:
        return dict(self.visual.state_dict())
