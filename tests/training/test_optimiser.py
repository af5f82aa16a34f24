from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ala.config import Profile
from ala.model.adapter import Adapter
from ala.model.blueprint import plan
from ala.training.optimiser import Optimiser, groups


def adapter_of(profile: Profile, encoder: Any) -> Adapter:
    blueprint = plan(
        "aea-true-sbn-true", profile.ala, profile.abn,
        tap_channels=encoder.tap_channels, grid=4, input_size=16, classes=3,
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
    optimiser = Optimiser(adapter, None, profile.train)
    ids = [id(parameter) for parameter in optimiser.parameters]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(parameter) for parameter in adapter.parameters()}
    resting = {id(p) for group in optimiser.resting.param_groups for p in group["params"]}
    assert resting == {id(p) for part in (adapter.side, adapter.attention) for p in part.parameters()}


def test_clipping_is_over_all_parameters_together(profile: Profile, encoder: Any) -> None:
    """Seen through plain SGD: one step of length lr * clip_norm over everything that trains."""
    adapter = adapter_of(profile, encoder)
    optimiser = Optimiser(adapter, None, profile.train.model_copy(update={"clip_norm": 0.01}))
    optimiser.perception = torch.optim.SGD(optimiser.perception.param_groups, lr=1.0)  # type: ignore[assignment]
    optimiser.resting = torch.optim.SGD(optimiser.resting.param_groups, lr=1.0)  # type: ignore[assignment]
    for group in (*optimiser.perception.param_groups, *optimiser.resting.param_groups):
        group |= {"lr": 1.0, "weight_decay": 0.0}
    before = nn.utils.parameters_to_vector(adapter.parameters()).detach().clone()
    images = torch.randn(8, 3, 16, 16)
    output = adapter.train()(images, encoder.taps(images, [0, 1, 3]))
    (100 * output.pb_logits.square().sum()).backward()
    optimiser.step(on=True)
    moved = nn.utils.parameters_to_vector(adapter.parameters()).detach() - before
    assert abs(moved.norm().item() - 0.01) < 1e-4
