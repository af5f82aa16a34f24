"""The interface of frozen encoders (METHODS 2.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ala.contracts.preprocessing import Preprocessing
from ala.utils.errors import UserError


class FrozenEncoder(nn.Module, ABC):
    """An image encoder that is never trained: no parameter requires a gradient, and it is always in eval mode.

    Attributes:
        preprocessing: the input side S and the normalisation of the images.
        tap_channels: channels C of each intermediate feature (tap), by its number.
        grid: side g of the features' maps.
        text_features: float32 `(K, D)`, one unit vector for each class, or None for an encoder without text.
        source: what the encoder was made from, as it can be written as JSON.
    """

    text_features: Tensor | None

    def __init__(
        self, preprocessing: Preprocessing, grid: int, tap_channels: dict[int, int], text_features: Tensor | None = None
    ) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.grid = grid
        self.tap_channels = dict(tap_channels)
        self.source: dict[str, Any] = {}
        self.register_buffer("text_features", text_features, persistent=False)

    @property
    def n_taps(self) -> int:
        """The number of features."""
        return len(self.tap_channels)

    @property
    def last_tap(self) -> int:
        """The number of the deepest feature."""
        return max(self.tap_channels)

    def taps(self, images: Tensor, wanted: Collection[int]) -> dict[int, Tensor]:
        """Compute the wanted features h^(i) of normalised images `(B, 3, S, S)`: float32 `(B, C_i, g, g)` each.

        They are computed in inference mode, so nothing of the encoder is stored for a backward pass, and are constants
        in training.

        Raises:
            UserError: the encoder has no such feature.
            ValueError: the images are not `(B, 3, S, S)`.
        """
        unknown = sorted(set(wanted) - set(self.tap_channels))
        if unknown:
            raise UserError(
                f"the encoder has no tap {unknown[0]}, only {', '.join(map(str, sorted(self.tap_channels)))}; "
                "name one of them in fusion_map, feature_layer, single_layer and layer"
            )
        self._check(images)
        with _no_graph():
            found = self._taps(images, sorted(set(wanted))) if wanted else {}
        return {tap: _usable(found[tap].float()) for tap in wanted}

    def pooled(self, images: Tensor) -> Tensor:
        """Compute one embedding of normalised images `(B, 3, S, S)` each: float32 `(B, D)`, of any length."""
        self._check(images)
        with _no_graph():
            found = self._pooled(images).float()
        return _usable(found)

    @abstractmethod
    def _taps(self, images: Tensor, wanted: list[int]) -> dict[int, Tensor]:
        """The taps in `wanted` (ascending, not empty, all known); called without a graph."""

    @abstractmethod
    def _pooled(self, images: Tensor) -> Tensor:
        """The embedding `(B, D)`; called without a graph."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Return what is needed, beside :meth:`weights`, to build this encoder again, JSON-serialisable."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """Return the tensors to save, by name."""

    def freeze(self) -> Self:
        """Disable and clear the gradients of all parameters; a subclass calls this at the end of `__init__`."""
        self.requires_grad_(False)
        self.zero_grad(set_to_none=True)
        return self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, even on `model.train()` of a surrounding module."""
        return super().train(False)

    def _check(self, images: Tensor) -> None:
        side = self.preprocessing.size
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            raise ValueError(f"images must be (B, 3, {side}, {side}), got {tuple(images.shape)}")


def _no_graph() -> torch.no_grad | torch.inference_mode:
    """Return inference mode, or no_grad while `torch.compile` traces, which cannot enter inference mode."""
    return torch.no_grad() if torch.compiler.is_compiling() else torch.inference_mode()


def _usable(x: Tensor) -> Tensor:
    """Return `x`, copied if the caller is outside inference mode: only a normal tensor may be stored for backward.

    The copy has the strides of `x`: kernels are chosen by memory layout, and differ in rounding.
    """
    if torch.is_inference_mode_enabled():
        return x
    return x.new_empty_strided(x.size(), x.stride()).copy_(x)


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
