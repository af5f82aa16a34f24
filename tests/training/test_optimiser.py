from __future__ import annotations

from typing import Any

from ala.config import Profile
from ala.model.adapter import Adapter
from ala.model.blueprint import plan
from ala.training.optimiser import adapter_parts, groups, parameters


def adapter_of(profile: Profile, encoder: Any) -> Adapter:
    blueprint = plan(
        "aea-true-sbn-true", profile.ala, profile.abn,
        feature_channels=encoder.feature_channels, grid=4, input_size=16, classes=3,
    )  # fmt: skip
    return Adapter(blueprint, seed=0)


def test_norms_positions_and_queries_have_no_weight_decay(profile: Profile, encoder: Any) -> None:
    adapter = adapter_of(profile, encoder)
    names = {id(parameter): name for name, parameter in adapter.named_parameters()}
    decayed, plain = groups([adapter], 0.05)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.05, 0.0)
    without = {names[id(parameter)] for parameter in plain["params"]}
    assert {"side.position", "side.queries", "side.query_position", "side.blocks.0.norm1.weight",
            "side.fusions.0.norm.bias", "attention.trunk.0.weight", "perception.convs.0.1.weight",
            "perception.head.2.bias"} <= without  # fmt: skip
    assert {names[id(parameter)] for parameter in decayed["params"]} == set(names.values()) - without
    assert {"side.embed.weight", "side.blocks.0.qkv.bias", "attention.map.weight"}.isdisjoint(without)


def test_every_parameter_belongs_to_one_optimiser(profile: Profile, encoder: Any) -> None:
    adapter = adapter_of(profile, encoder)
    parts = adapter_parts(adapter, profile.train)
    ids = [id(parameter) for parameter in parameters(parts)]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(parameter) for parameter in adapter.parameters()}
    assert [part.rests for part in parts] == [False, True]
    resting = {id(p) for p in parameters(parts[1:])}
    assert resting == {id(p) for part in (adapter.side, adapter.attention) for p in part.parameters()}
