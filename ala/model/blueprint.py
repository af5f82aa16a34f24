"""Describe an adapter's architecture: derived from the settings, saved beside the weights, enough to rebuild it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ala.config.schema import (
    Abn,
    Ala,
    AttentionSettings,
    Count,
    Lora,
    Natural,
    PerceptionSettings,
    Section,
    SideBranchSettings,
    variant_name,
)
from ala.utils.errors import UserError

#: Variant: (AEA, what feeds the attention branch). `single` are the rows without SBN; `abn` is the related work,
#: whose attention branch reads one encoder layer as it is (METHODS 8).
VARIANTS: dict[str, tuple[bool, Literal["side", "single", "direct"]]] = {
    **{variant_name(aea, sbn): (aea, "side" if sbn else "single") for aea in (True, False) for sbn in (True, False)},
    "abn": (False, "direct"),
}


class Blueprint(Section):
    """The architecture of one adapter, JSON-serialisable.

    Attributes:
        variant: a key of :data:`VARIANTS`.
        feed: what the attention branch reads: the SBN (`side`), one normalised and projected encoder feature
            (`single`), or one feature as it is (`direct`).
        side: the SBN's settings, `fusion_map` written out; None without SBN.
        layer: the one feature read where there is no SBN.
        queries: channels Q of the mask logits M that `side` and `single` make; of `direct` the channels of its feature.
        attention, perception: settings of the two branches.
        predict: which logits are the model's prediction.
        lora: low-rank update of an encoder block, or None.
        channels: channels C of each encoder feature that is read.
        grid: grid size g of the encoder's features, in cells, at `input_size`.
        input_size: size S of the images, in pixels.
        classes: K.
    """

    variant: str
    feed: Literal["side", "single", "direct"]
    side: SideBranchSettings | None
    layer: Natural | None
    queries: Count
    attention: AttentionSettings
    perception: PerceptionSettings
    predict: Literal["pb", "pb_plus_ab"]
    lora: Lora | None
    channels: dict[Natural, Count]
    grid: Count
    input_size: Count
    classes: Count

    @property
    def features(self) -> list[int]:
        """The encoder features that are read, ascending."""
        return sorted(self.channels)


def check(variant: str) -> None:
    """Check that `variant` is a key of :data:`VARIANTS`; raise a UserError otherwise."""
    if variant not in VARIANTS:
        raise UserError(f"variant {variant!r} does not exist; choose one of {', '.join(VARIANTS)}")


def plan(
    variant: str, ala: Ala, abn: Abn, *, feature_channels: Mapping[int, int], grid: int, input_size: int, classes: int
) -> Blueprint:
    """Make the blueprint of `variant` for an encoder with features `feature_channels` (feature: channels).

    Raises:
        UserError: there is no such variant, or a setting names a feature that the encoder does not have.
    """
    check(variant)
    feed = VARIANTS[variant][1]
    settings: Ala | Abn = abn if feed == "direct" else ala
    side, layer, where = None, None, {}
    if feed == "side":
        fusion = written_out(ala.sbn.fusion_map, list(feature_channels), ala.sbn.depth)
        side = ala.sbn.model_copy(update={"fusion_map": list(fusion.items())})
        where = dict.fromkeys(fusion, "ala.sbn.fusion_map")
    else:
        layer = abn.layer if feed == "direct" else ala.single_layer
        where = {layer: "abn.layer" if feed == "direct" else "ala.single_layer"}
    name = "abn" if feed == "direct" else "ala"
    where[settings.perception.feature_layer] = f"{name}.perception.feature_layer"
    for feature, setting in where.items():
        if feature not in feature_channels:
            has = ", ".join(map(str, sorted(feature_channels)))
            raise UserError(
                f"{setting} names feature {feature}, but the encoder has the features {has}; choose among these"
            )
    if feed != "direct" and input_size % ala.sbn.patch:
        raise UserError(f"ala.sbn.patch ({ala.sbn.patch}) does not divide the input size {input_size}; change either")
    return Blueprint(
        variant=variant,
        feed=feed,
        side=side,
        layer=layer,
        queries=feature_channels[abn.layer] if feed == "direct" else ala.sbn.queries,
        attention=settings.attention,
        perception=settings.perception,
        predict=settings.predict,
        lora=None if feed == "direct" else ala.lora,
        channels={feature: feature_channels[feature] for feature in sorted(where)},
        grid=grid,
        input_size=input_size,
        classes=classes,
    )


def written_out(fusion_map: Literal["all"] | list[tuple[int, int]], features: list[int], depth: int) -> dict[int, int]:
    """Expand `fusion_map` to feature: side block. `all` is i: i for i up to the SBN's `depth`; 0 is before block 1."""
    if fusion_map == "all":
        return {feature: feature for feature in sorted(features) if feature <= depth}
    return dict(fusion_map)
