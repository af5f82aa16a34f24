"""Every registered metric keeps its contract, and each check fails for a class that breaks it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ala import registry
from ala.testing import check_metric
from tests.conformance.good import Extent


@pytest.mark.parametrize("name", registry.names("metrics"))
def test_registered_metrics_keep_the_contract(name):
    check_metric(registry.find("metrics", name))


def test_a_good_class_passes():
    check_metric(Extent)


class Everywhere(Extent):
    images = "everywhere"


class NoFlag(Extent):
    evaluates = None


class NoReads:
    images, evaluates = "mapped", False

    def measure(self, scoring, index):
        return {}


class ReadsNothingKnown(Extent):
    reads = ("temperature",)


class ReadsMore(Extent):
    def measure(self, scoring, index):
        return {"extent/share": np.full(len(index), float(scoring.settings.box_step)), "_count": np.ones(len(index))}


class NoProtocol(Extent):
    def measure(self, scoring, index):
        return {"share": np.ones(len(index))}


class OneNumber(Extent):
    def measure(self, scoring, index):
        return {"extent/share": np.ones(1)}


class Lists(Extent):
    def measure(self, scoring, index):
        return {"extent/share": [1.0] * len(index)}


class Words(Extent):
    def measure(self, scoring, index):
        return {"extent/share": np.full(len(index), "half")}


class Infinite(Extent):
    def measure(self, scoring, index):
        return {"extent/share": np.full(len(index), np.inf)}


class AmongOthers(Extent):
    def measure(self, scoring, index):
        share = scoring.scaled(index).mean(axis=(1, 2))
        return {"extent/share": share - share.mean(), "_count": np.ones(len(index))}


class Random(Extent):
    def measure(self, scoring, index):
        return {"extent/share": np.random.default_rng().random(len(index))}


class MovesGlobal(Extent):
    def measure(self, scoring, index):
        return {"extent/share": torch.rand(len(index)).numpy()}


class WritesMaps(Extent):
    def measure(self, scoring, index):
        scoring.maps.importance[...] = 0
        return super().measure(scoring, index)


class MeanOfMeans(Extent):
    def measure(self, scoring, index):
        return {"extent/share": np.ones(len(index)), "_count": np.array([len(index)])}

    def whole(self, arrays):
        return {"extent/images": float(arrays["_count"].mean())}


class NotANumber(Extent):
    def whole(self, arrays):
        return {"extent/images": float("nan")}


class WholeOfNothing(Extent):
    def whole(self, arrays):
        return None


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Everywhere, "traits of Everywhere: images is 'everywhere', not one of mapped, subset, all"),
        (NoFlag, "evaluates is None, not True or False"),
        (NoReads, "there is no `reads`"),
        (ReadsNothingKnown, r"reads names \['temperature'\], which is no field of `metrics`"),
        (ReadsMore, "it reads metrics.box_step; name it in `reads`"),
        (NoProtocol, "'share' is no name of a number; write protocol/metric"),
        (OneNumber, r"extent/share has the shape \(1,\); give one number per image"),
        (Lists, "extent/share is a list; give a NumPy array"),
        (Words, "extent/share holds <U4; give numbers"),
        (Infinite, "extent/share holds infinity"),
        (AmongOthers, "extent/share of an image moves by .* with the images beside it"),
        (Random, "determinism of Random: extent/share is another number the second time"),
        (MovesGlobal, "it changed torch's global random state"),
        (WritesMaps, "it changed the maps that it was given"),
        (MeanOfMeans, "whole of MeanOfMeans: extent/images is 6, but 2 where images come in parts"),
        (NotANumber, "extent/images is nan; leave out what cannot be computed"),
        (WholeOfNothing, "it returns a NoneType; return a dict"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_broken_contract_is_one_sentence(kind, message):
    with pytest.raises(AssertionError, match=message) as caught:
        check_metric(kind)
    assert "\n" not in str(caught.value)
