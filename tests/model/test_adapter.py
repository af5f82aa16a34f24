from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ala.config.schema import Abn, Ala
from ala.contracts.classifier import Classifier
from ala.model.adapter import Adapter
from ala.model.blueprint import VARIANTS, Blueprint, plan
from ala.model.explained import ExplainedModel
from ala.utils.errors import UserError


def drawn(variant: str, ala: Ala, abn: Abn, encoder: Any) -> Blueprint:
    return plan(
        variant, ala, abn, feature_channels=encoder.feature_channels, grid=encoder.grid, input_size=16, classes=3
    )


def changed(ala: Ala, **sections: dict[str, Any]) -> Ala:
    """`ala` with values of its sections, or its own values, replaced."""
    for name, update in sections.items():
        value = getattr(ala, name).model_copy(update=update) if isinstance(update, dict) else update
        ala = ala.model_copy(update={name: value})
    return ala


def test_features_read_by_each_variant(ala: Ala, abn: Abn, encoder: Any) -> None:
    features = {variant: drawn(variant, ala, abn, encoder).features for variant in VARIANTS}
    assert features == {
        "aea-true-sbn-true": [0, 2, 3], "aea-false-sbn-true": [0, 2, 3],
        "aea-true-sbn-false": [2, 3], "aea-false-sbn-false": [2, 3], "abn": [1, 3],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sbn": {"fusion_map": [(0, 0), (9, 1)]}}, "ala.sbn.fusion_map names feature 9, .* features 0, 1, 2, 3"),
        ({"perception": {"feature_layer": 7}}, "ala.perception.feature_layer names feature 7"),
        ({"sbn": {"patch": 5}}, r"ala.sbn.patch \(5\) does not divide the input size 16"),
    ],
)
def test_settings_that_do_not_fit_the_encoder(ala: Ala, abn: Abn, encoder: Any, change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        drawn("aea-true-sbn-true", changed(ala, **change), abn, encoder)


def test_unknown_variant(ala: Ala, abn: Abn, encoder: Any) -> None:
    with pytest.raises(UserError, match="variant 'full' does not exist; choose one of aea-true-sbn-true"):
        drawn("full", ala, abn, encoder)


ALTERNATIVES = [
    {"sbn": {"fusion_map": fusion}, "attention": {"kind": kind, "map_dropout": dropout},
     "perception": {"combine": combine, "inputs": inputs, "norm": norm}}
    for fusion, (kind, dropout), combine, inputs, norm in product(
        [[(0, 0), (2, 1), (3, 3)], "all"], [("minmax", 0.75), ("sigmoid", 0.0)],
        ["alpha", "one_plus_alpha"], ["clip", "clip+sbn"], ["batch", "group"],
    )
]  # fmt: skip


@pytest.mark.parametrize("variant", ["aea-true-sbn-true", "aea-true-sbn-false", "abn"])
def test_every_alternative_runs_forward_and_backward(ala: Ala, abn: Abn, encoder: Any, variant: str) -> None:
    images = torch.randn(4, 3, 16, 16)
    for change in ALTERNATIVES:
        settings = changed(ala, **change)
        related = abn.model_copy(update={"attention": settings.attention, "perception": settings.perception})
        blueprint = drawn(variant, settings, related, encoder)
        adapter = Adapter(blueprint, seed=0).train()
        output = adapter(images, encoder.features(images, blueprint.features))
        assert output.alpha is not None
        assert output.ab_logits is not None
        assert output.alpha.shape == (4, 1, 4, 4)
        assert ((output.alpha >= 0) & (output.alpha <= 1)).all()
        assert output.pb_logits.shape == output.ab_logits.shape == (4, 3)
        (output.pb_logits.logsumexp(1).sum() + output.ab_logits.logsumexp(1).sum()).backward()
        for name, parameter in adapter.named_parameters():
            assert parameter.grad is not None, (change, name)
            assert torch.isfinite(parameter.grad).all(), (change, name)


def test_gradient_reaches_the_side_branch_through_alpha_alone(ala: Ala, abn: Abn, encoder: Any) -> None:
    adapter = Adapter(drawn("aea-true-sbn-true", ala, abn, encoder), seed=0).train()
    images = torch.randn(4, 3, 16, 16)
    adapter(images, encoder.features(images, [0, 2, 3])).pb_logits.square().sum().backward()
    assert adapter.attention.map.weight.grad.abs().sum() > 0
    assert adapter.side.fusions["0"].linear.weight.grad.abs().sum() > 0


def test_off_calls_the_perception_branch_only(ala: Ala, abn: Abn, encoder: Any) -> None:
    adapter = Adapter(drawn("aea-true-sbn-true", ala, abn, encoder), seed=0).eval()
    called: list[str] = []
    for name in ("side", "attention", "perception"):
        getattr(adapter, name).register_forward_hook(lambda m, i, o, name=name: called.append(name))
    images = torch.randn(2, 3, 16, 16)
    h = encoder.features(images, adapter.features(False))
    assert list(h) == [3]
    output = adapter(None, h, attention_on=False)
    assert called == ["perception"]
    assert output.alpha is None
    assert output.ab_logits is None
    torch.testing.assert_close(output.pb_logits, adapter.perception(h[3], torch.ones(2, 1, 4, 4)))


def test_branches_in_common_start_from_the_same_weights(ala: Ala, abn: Abn, encoder: Any) -> None:
    full = Adapter(drawn("aea-true-sbn-true", ala, abn, encoder), seed=4).state_dict()
    single = Adapter(drawn("aea-true-sbn-false", ala, abn, encoder), seed=4).state_dict()
    other = Adapter(drawn("aea-true-sbn-true", ala, abn, encoder), seed=5).state_dict()
    common = [name for name in full if name.startswith(("attention.", "perception."))]
    assert common
    assert all(torch.equal(full[name], single[name]) for name in common)
    assert not torch.equal(full["perception.convs.0.0.weight"], other["perception.convs.0.0.weight"])


def explained(ala: Ala, abn: Abn, encoder: Any) -> ExplainedModel:
    return ExplainedModel(encoder, Adapter(drawn("aea-true-sbn-true", ala, abn, encoder), seed=0))


def test_is_a_classifier(ala: Ala, abn: Abn, encoder: Any) -> None:
    model = explained(ala, abn, encoder)
    assert isinstance(model, Classifier)
    images = torch.randn(5, 3, 16, 16)
    probabilities = model(images)
    assert probabilities.shape == (5, 3)
    assert not probabilities.requires_grad
    torch.testing.assert_close(probabilities.sum(1), torch.ones(5))
    torch.testing.assert_close(probabilities, model.logits(images).softmax(1))
    torch.testing.assert_close(model(images[2:3]), probabilities[2:3])  # the batch does not matter
    model.train()
    assert not any(module.training for module in model.modules())


def test_predict_chooses_the_logits(ala: Ala, abn: Abn, encoder: Any) -> None:
    images = torch.randn(3, 3, 16, 16)
    alone = explained(ala, abn, encoder)
    output = alone.outputs(images)
    torch.testing.assert_close(alone.logits(images), output.pb_logits)
    both = explained(ala.model_copy(update={"predict": "pb_plus_ab"}), abn, encoder)
    assert output.ab_logits is not None
    torch.testing.assert_close(both.logits(images), output.pb_logits + output.ab_logits)


def test_explanation_is_alpha_from_0_to_1_per_image(ala: Ala, abn: Abn, encoder: Any) -> None:
    model = explained(changed(ala, attention={"kind": "sigmoid"}), abn, encoder)
    images = torch.randn(3, 3, 16, 16)
    maps: Tensor = model.explain(images)
    alpha = model.outputs(images).alpha
    assert alpha is not None
    assert maps.shape == (3, 4, 4)
    assert not maps.requires_grad
    for got, a in zip(maps, alpha[:, 0], strict=True):
        torch.testing.assert_close(got, (a - a.min()) / (a.max() - a.min()), atol=1e-3, rtol=0)
    nn.init.zeros_(model.adapter.attention.map.weight)
    assert not model.explain(images).any()  # a constant map says nothing, it is not NaN
