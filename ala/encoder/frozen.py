"""What every encoder offers the rest, and what "frozen" means (METHODS 2.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ala.contracts.preprocessing import Preprocessing
from ala.runtime.errors import UserError


class FrozenEncoder(nn.Module, ABC):
    """An image encoder that never learns: no parameter asks for a gradient, and it is always in eval mode.

    Attributes:
        preprocessing: the input side S and the normalisation of the images.
        tap_channels: channels C of each tap, by the tap's number.
        grid: side g of the taps' maps.
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
        """How many taps there are."""
        return len(self.tap_channels)

    @property
    def last_tap(self) -> int:
        """The number of the deepest tap."""
        return max(self.tap_channels)

    def taps(self, images: Tensor, wanted: Collection[int]) -> dict[int, Tensor]:
        """The wanted taps h^(i) of normalised images `(B, 3, S, S)`: float32 `(B, C_i, g, g)` each.

        They are computed in inference mode, so nothing of the encoder is kept for a backward pass, and are constants
        to whatever is trained on them.

        Raises:
            UserError: the encoder has no such tap.
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
        """One embedding float32 `(B, D)` for each normalised image `(B, 3, S, S)`; its length is not normalised."""
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
        """What is needed, beside :meth:`weights`, to make this encoder again; it can be written as JSON."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """The tensors to keep, by name."""

    def freeze(self) -> Self:
        """Take every parameter out of learning, its gradient too; a subclass calls this at the end of `__init__`."""
        self.requires_grad_(False)
        self.zero_grad(set_to_none=True)
        return self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode whatever is asked for: `model.train()` of a surrounding module must not wake this one."""
        return super().train(False)

    def _check(self, images: Tensor) -> None:
        side = self.preprocessing.size
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            raise ValueError(f"images must be (B, 3, {side}, {side}), got {tuple(images.shape)}")


def _no_graph() -> torch.no_grad | torch.inference_mode:
    """Inference mode; what `torch.compile` traces cannot enter it, and does without a graph."""
    return torch.no_grad() if torch.compiler.is_compiling() else torch.inference_mode()


def _usable(x: Tensor) -> Tensor:
    """`x` of inference mode, as a copy where the caller is not in it: only a usual tensor may be kept for backward.

    The copy lies in memory as `x` does, gaps included: kernels choose by layout, and round each in its own way.
    """
    if torch.is_inference_mode_enabled():
        return x
    return x.new_empty_strided(x.size(), x.stride()).copy_(x)


def assert_frozen(encoder: nn.Module, optimiser: Optimizer | None = None) -> None:
    """Prove that `encoder` cannot learn: no gradient asked for or held, eval mode, no entry in `optimiser`.

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
