"""One class for every frozen image encoder: a timm network, its intermediate features and its embedding (METHODS 2.2).

Vision Transformers and convolutional networks of timm, and open_clip's towers as timm networks
(:mod:`ala.encoders.networks`), all give their intermediate results by timm's `forward_intermediates`.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from threading import get_ident
from typing import Any, Self

from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from ala.contracts.preprocessing import Preprocessing
from ala.utils.errors import UserError


class Encoder(nn.Module):
    """An image encoder that is never trained: no parameter requires a gradient, and it is always in eval mode.

    Feature h^(0) of a Vision Transformer is what enters its first block, h^(i) the result of block i = 1..L, both
    without class and register tokens. Feature i of any other network is its i-th feature map, i = 0.., resized
    bilinearly (`align_corners=False`) to the grid. Layers after the last wanted feature are not run.

    Gradients are the caller's choice: with respect to the images they flow where autograd is on, and none is kept
    where the images require none.

    Args:
        network: a timm network at the input size of `preprocessing`, without its classifier; it is frozen in place.
        head: from the network's pooled features `(B, C)` to the embedding `(B, D)`; the identity where it has none.
        description: what :func:`ala.encoders.networks.make_encoder` needs to build it again, JSON-serialisable.
        preprocessing: the input size S and the normalisation of the images.
        grid: size g of the features' maps; a Vision Transformer's follows from its patches.
        text_features: float32 `(K, D)`, one unit vector for each class, or None for an encoder without text.

    Attributes:
        feature_channels: channels C of each intermediate feature, by its number.
        source: what the encoder was made from, JSON-serialisable.

    Raises:
        UserError: the network gives no intermediate features.
    """

    network: Any
    text_features: Tensor | None

    def __init__(
        self,
        network: Any,
        head: nn.Module,
        description: dict[str, Any],
        preprocessing: Preprocessing,
        grid: int,
        text_features: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.head = head
        self.description = description
        self.preprocessing = preprocessing
        self.source: dict[str, Any] = {}
        self.register_buffer("text_features", text_features, persistent=False)
        if not hasattr(network, "forward_intermediates"):
            raise UserError(
                f"encoder.name: {description['name']} gives no intermediate features in timm; choose a model that has"
                " forward_intermediates, e.g. timm:vit_tiny_patch16_224"
            )
        channels = [one["num_chs"] for one in network.feature_info]
        self.is_transformer = is_transformer(network)
        if self.is_transformer:
            channels = [channels[0], *channels]
        self.grid: int = network.patch_embed.grid_size[0] if self.is_transformer else grid
        self.feature_channels = dict(enumerate(channels))
        self.requires_grad_(False)
        self.zero_grad(set_to_none=True)
        self.eval()

    @property
    def n_features(self) -> int:
        """The number of features."""
        return len(self.feature_channels)

    @property
    def last_feature(self) -> int:
        """The number of the deepest feature."""
        return max(self.feature_channels)

    @property
    def blocks(self) -> nn.ModuleList | None:
        """The blocks of a Vision Transformer, block i of METHODS is `blocks[i - 1]`; None of another network."""
        return self.network.blocks if self.is_transformer else None

    def features(self, images: Tensor, wanted: Collection[int]) -> dict[int, Tensor]:
        """Compute the wanted features h^(i) of normalised images `(B, 3, S, S)`: float32 `(B, C_i, g, g)` each.

        Raises:
            UserError: the encoder has no such feature.
            ValueError: the images are not `(B, 3, S, S)`.
        """
        unknown = sorted(set(wanted) - set(self.feature_channels))
        if unknown:
            raise UserError(
                f"the encoder has no feature {unknown[0]}, only {', '.join(map(str, sorted(self.feature_channels)))}; "
                "name one of them in fusion_map, feature_layer, single_layer and layer"
            )
        self._check(images)
        if not wanted:
            return {}
        numbers = sorted(set(wanted))
        found = self._of_transformer(images, numbers) if self.is_transformer else self._of_maps(images, numbers)
        return {number: found[number].float() for number in wanted}

    def pooled(self, images: Tensor) -> Tensor:
        """Compute one embedding of normalised images `(B, 3, S, S)` each: float32 `(B, D)`, of any length."""
        self._check(images)
        return self.embedding(self.network.forward_features(images)).float()

    def embedding(self, last: Tensor) -> Tensor:
        """Compute the embedding `(B, D)` of the network's last result, after its final normalisation."""
        return self.head(self.network.forward_head(last, pre_logits=True))

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, even on `model.train()` of a surrounding module."""
        return super().train(False)

    def _of_transformer(self, images: Tensor, numbers: list[int]) -> dict[int, Tensor]:
        """Features of a Vision Transformer as views of its tokens.

        They are channels-last in memory: LayerNorm over channels reads them in order, and convolutions need no copy.
        """
        found: dict[int, Tensor] = {}
        caller = get_ident()

        def entered(block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if get_ident() != caller:
                return  # the engine runs parts of a batch in several threads, each with a hook of its own
            found[0] = inputs[0][:, self.network.num_prefix_tokens :]  # (B, g², C)
            if numbers == [0]:
                raise _Enough

        indices = [number - 1 for number in numbers if number > 0]
        hook = self.network.blocks[0].register_forward_pre_hook(entered)
        try:
            results = self.network.forward_intermediates(
                images, indices=indices or [0], stop_early=True, output_fmt="NLC", intermediates_only=True
            )  # [(B, g², C)]
            found |= {index + 1: result for index, result in zip(indices, results, strict=True)}
        except _Enough:
            pass
        finally:
            hook.remove()
        return {number: found[number].mT.unflatten(2, (self.grid, self.grid)) for number in numbers}

    def _of_maps(self, images: Tensor, numbers: list[int]) -> dict[int, Tensor]:
        maps = self.network.forward_intermediates(images, indices=numbers, stop_early=True, intermediates_only=True)
        size = (self.grid, self.grid)
        resized = (F.interpolate(one, size=size, mode="bilinear", align_corners=False) for one in maps)
        return dict(zip(numbers, resized, strict=True))

    def _check(self, images: Tensor) -> None:
        size = self.preprocessing.size
        if images.ndim != 4 or images.shape[1:] != (3, size, size):
            raise ValueError(f"images must be (B, 3, {size}, {size}), got {tuple(images.shape)}")


class _Enough(Exception):
    """Raised before the first block of a Vision Transformer where nothing after it is wanted."""


def is_transformer(network: Any) -> bool:
    """Whether a timm network is a plain Vision Transformer: blocks of tokens, one feature for each, on one grid."""
    blocks = getattr(network, "blocks", None)
    return (
        blocks is not None
        and "return_prefix_tokens" in inspect.signature(network.forward_intermediates).parameters
        and len(blocks) == len(network.feature_info)
    )


def assert_frozen(encoder: nn.Module, optimiser: Optimizer | None = None) -> None:
    """Assert that `encoder` cannot be trained: no gradients required or held, eval mode, no entry in `optimiser`.

    Raises:
        AssertionError: it can; the message names the first parameter or module that breaks the rule.
    """
    held = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]} if optimiser else set()
    for name, parameter in encoder.named_parameters():
        if parameter.requires_grad:
            raise AssertionError(f"the encoder is not frozen: {name} requires a gradient")
        if parameter.grad is not None:
            raise AssertionError(f"the encoder is not frozen: {name} holds a gradient")
        if id(parameter) in held:
            raise AssertionError(f"the encoder is not frozen: {name} is in the optimiser")
    for name, module in encoder.named_modules():
        if module.training:
            raise AssertionError(f"the encoder is not frozen: module {name or '(the encoder)'} is in training mode")
