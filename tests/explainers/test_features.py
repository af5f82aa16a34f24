"""Shares and knock-outs of features against the SBN's additions computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ala.explainers.features import feature_shares, without_feature
from ala.model.adapter import Adapter
from ala.model.blueprint import plan
from ala.model.explained import ExplainedModel
from ala.utils.errors import UserError
from tests.model.conftest import TinyEncoder


@pytest.fixture
def model_of(request):
    """A random ALA, or ABN, beside a random encoder; features 0, 2 and 3 flow into the SBN."""
    from ala.config import load

    profile = load("params.yaml").active
    sbn = profile.ala.sbn.model_copy(
        update={"width": 8, "heads": 2, "depth": 3, "queries": 5, "patch": 4, "fusion_map": [(0, 0), (2, 1), (3, 3)]}
    )

    def make(variant="aea-true-sbn-true"):
        torch.manual_seed(5)
        encoder = TinyEncoder()
        blueprint = plan(
            variant, profile.ala.model_copy(update={"sbn": sbn}), profile.abn,
            feature_channels=encoder.feature_channels, grid=4, input_size=16, classes=3,
        )  # fmt: skip
        return ExplainedModel(encoder, Adapter(blueprint, 0))

    return make


def test_shares_by_hand_for_any_batch(model_of, toy_images):
    model, images = model_of(), toy_images(5, 16)
    indices = np.array([3, 0, 4])
    expected = {}
    with torch.no_grad():
        normalised = model.preprocessing.normalise(images.pixels(indices))
        features = model.encoder.features(normalised, [0, 2, 3])
        # (3, D, 4, 4)
        added = {feature: model.adapter.side.fusions[str(feature)](features[feature]) for feature in features}
    for feature in added:
        expected[feature] = [
            np.mean([
                float(added[feature][i, :, y, x].norm()) / sum(float(other[i, :, y,
                    x].norm()) for other in added.values())
                for y in range(4) for x in range(4)
            ])
            for i in range(3)
        ]  # fmt: skip
    for batch in (1, 2, 3):
        shares = feature_shares(model, normalised, batch)
        for feature, values in expected.items():
            assert shares[feature] == pytest.approx(values, rel=1e-5)
    assert sum(shares.values()) == pytest.approx(np.ones(3))


def test_a_silenced_feature_adds_nothing_and_comes_back(model_of, toy_images):
    model, images = model_of(), toy_images(2, 16)
    normalised = model.preprocessing.normalise(images.pixels(np.arange(2)))
    before = model.explain(normalised)
    with without_feature(model, 2):
        silenced = model.explain(normalised)
    fusion = model.adapter.side.fusions["2"]
    with torch.no_grad():
        kept = {name: value.clone() for name, value in fusion.state_dict().items()}
        fusion.linear.weight.zero_()
        fusion.linear.bias.zero_()
        expected = model.explain(normalised)
        fusion.load_state_dict(kept)
    assert torch.equal(silenced, expected)
    assert not torch.equal(silenced, before)
    assert torch.equal(model.explain(normalised), before)


def test_what_has_no_such_feature_is_refused(model_of):
    with pytest.raises(UserError, match="abn has no SBN"):
        feature_shares(model_of("abn"), torch.zeros(1, 3, 16, 16), 1)
    with (
        pytest.raises(UserError, match="feature 1 does not flow into the SBN; it reads 0, 2, 3"),
        without_feature(model_of(), 1),
    ):
        pass
