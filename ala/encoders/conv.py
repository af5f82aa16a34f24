"""A convolutional network of timm as a frozen encoder with intermediate features (taps)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ala.utils.torchvision_import  # noqa: F401  (before timm)

# isort: split
import timm
from torch import Tensor, nn
from torch.nn import functional as F

from ala.contracts.preprocessing import Preprocessing
from ala.encoders.frozen import FrozenEncoder
from ala.encoders.weights import fit_weights
from ala.utils.errors import UserError


def build_network(name: str, options: dict[str, Any]) -> nn.Module:
    """Build timm's network `name` as an extractor of feature maps (`features_only=True`), random weights.

    Raises:
        UserError: timm has no such model, or the model does not take the options or gives no feature maps.
    """
    return _create(name, {**options, "features_only": True})


def load_network(name: str, options: dict[str, Any], weights: dict[str, Tensor], path: Path) -> nn.Module:
    """Build the network and load the state dict of the whole classifier `name` into it.

    The file must have every key of the feature extractor; it may also hold the classifier's head.

    Raises:
        UserError: as :func:`build_network`, or the weights do not fit; the first such key is named.
    """
    network = build_network(name, options)
    # Some extractors flatten sequential modules and rename `stages.0` to `stages_0`.
    lifted = {key.replace(".", "_", 1): key for key in weights}
    renamed = {lifted[key]: key for key in network.state_dict() if key not in weights and key in lifted}
    fitted = {renamed.get(key, key): tensor for key, tensor in weights.items()}
    head = set(_create(name, options).state_dict()) - set(renamed)
    fit_weights(network, fitted, path, f"the timm model {name}", spare=head)
    return network


def _create(name: str, options: dict[str, Any]) -> nn.Module:
    if not timm.is_model(name):
        near = timm.list_models(f"{name[:6]}*")[:4]
        raise UserError(
            f"encoder.name: timm has no model {name!r}; "
            + (f"near ones are {', '.join(near)}" if near else "see timm.list_models() for those it has")
        )
    try:
        return timm.create_model(name, pretrained=False, **options)
    except (TypeError, RuntimeError, AssertionError, AttributeError, ValueError) as error:
        raise UserError(
            f"encoder.options: timm's {name} cannot be built as a feature extractor with {options}"
            f" ({' '.join(str(error).split())}); change or remove them"
        ) from None


class ConvEncoder(FrozenEncoder):
    """Tap i is the i-th feature map of a timm network, resized bilinearly (`align_corners=False`) to the grid.

    BatchNorm stays in eval mode like everything else, so its statistics are constants. The network always runs to
    its end: timm's extractors know no earlier stop. It has no text; `pooled` is the mean of the last feature map.

    Args:
        network: what :func:`build_network` or :func:`load_network` gave; it is frozen in place.
        name: its name in timm, and `options`, what it was built with.
        preprocessing: input side S and normalisation.
        grid: side g of the taps.
    """

    def __init__(
        self, network: nn.Module, name: str, options: dict[str, Any], preprocessing: Preprocessing, grid: int
    ) -> None:
        channels = network.feature_info.channels()  # type: ignore[union-attr, operator]
        super().__init__(preprocessing, grid, dict(enumerate(channels)))
        self.network = network
        self.name = name
        self.options = dict(options)
        self.freeze()

    def _taps(self, images: Tensor, wanted: list[int]) -> dict[int, Tensor]:
        maps = self.network(images)  # [(B, C_i, h_i, w_i)]
        size = (self.grid, self.grid)
        return {tap: F.interpolate(maps[tap], size=size, mode="bilinear", align_corners=False) for tap in wanted}

    def _pooled(self, images: Tensor) -> Tensor:
        return self.network(images)[-1].mean(dim=(2, 3))  # (B, C)

    def description(self) -> dict[str, Any]:
        return {"kind": "timm", "name": self.name, "options": self.options}

    def weights(self) -> dict[str, Tensor]:
        return dict(self.network.state_dict())
