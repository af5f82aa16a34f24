"""The adapter: the trained branches beside the frozen encoder, without the encoder itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from ala.model.attention_branch import AttentionBranch
from ala.model.blueprint import Blueprint
from ala.model.perception_branch import PerceptionBranch
from ala.model.side_branch import DirectFeature, SideBranch, SingleFeature
from ala.utils.seeds import seed_everything


class AdapterOutput(NamedTuple):
    """`alpha` `(B, 1, g, g)` in [0, 1] and `ab_logits` `(B, K)`, None where attention is off; `pb_logits` `(B, K)`."""

    alpha: Tensor | None
    ab_logits: Tensor | None
    pb_logits: Tensor


class Adapter(nn.Module):
    """Side branch, attention branch and perception branch, composed as `blueprint` says.

    `side` and `attention` are the *resting* parts: AEA's off epochs neither call nor train them.

    Args:
        blueprint: the architecture.
        seed: of the initial weights. Each branch has its own stream, so that variants with a branch in common start
            from the same weights there; None leaves torch's global generator as it is.
    """

    def __init__(self, blueprint: Blueprint, seed: int | None = None) -> None:
        super().__init__()
        self.blueprint = blueprint
        channels, classes, features = blueprint.channels, blueprint.classes, blueprint.perception.feature_layer
        self._seed(seed, "side")
        self.side: SideBranch | SingleFeature | DirectFeature
        if blueprint.side is not None:
            self.side = SideBranch(blueprint.side, channels, blueprint.input_size // blueprint.side.patch)
        elif blueprint.layer is None:
            raise ValueError("a blueprint without SBN names the layer that feeds the attention branch")
        elif blueprint.feed == "single":
            self.side = SingleFeature(blueprint.layer, channels[blueprint.layer], blueprint.queries)
        else:
            self.side = DirectFeature(blueprint.layer)
        masks = blueprint.queries
        self._seed(seed, "attention")
        self.attention = AttentionBranch(masks, classes, blueprint.attention)
        self._seed(seed, "perception")
        width = blueprint.side.width if blueprint.side is not None else None
        self.perception = PerceptionBranch(channels[features], classes, blueprint.perception, width)

    def forward(
        self, images: Tensor | None, encoder_features: Mapping[int, Tensor], attention_on: bool = True
    ) -> AdapterOutput:
        """Compute maps and logits of normalised `images` `(B, 3, S, S)` from their encoder features
        `{feature: (B, C, h, w)}`.

        With `attention_on` false only the perception branch is called, on the features as they are (alpha = 1);
        `images` may be None and `features` hold just the feature layer then.
        """
        features = encoder_features[self.blueprint.perception.feature_layer]  # (B, C, h, w)
        if not attention_on:
            return AdapterOutput(None, None, self.perception(features, None))
        masks, pixels = self.side(images, encoder_features)  # (B, Q, g, g), (B, D, g, g) or None
        alpha, ab_logits = self.attention(masks)  # (B, 1, g, g), (B, K)
        return AdapterOutput(alpha, ab_logits, self.perception(features, alpha, pixels))

    def features(self, attention_on: bool) -> list[int]:
        """Return the numbers of the encoder features that :meth:`forward` reads."""
        return self.blueprint.features if attention_on else [self.blueprint.perception.feature_layer]

    @staticmethod
    def _seed(seed: int | None, part: str) -> None:
        if seed is not None:
            seed_everything(seed, "weights", part)
