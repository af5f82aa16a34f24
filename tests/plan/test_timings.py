"""Every kind of work that a plan knows can be timed, by the functions that the stages call."""

from __future__ import annotations

import pytest
import torch

from ala.config import load
from ala.plan.models import Models
from ala.plan.network_work import largest, network_work, smallest
from ala.plan.photo_work import photo_work
from ala.plan.photos import Photos
from ala.plan.work import stages
from tests.imports import ROOT

SETTINGS = load(ROOT / "params.yaml")
CPU = torch.device("cpu")
FREE = ("start", "report", "list")


def kinds(name: str) -> list[tuple[str, str]]:
    settings = SETTINGS.model_copy(update={"profile": name})
    work = stages(settings, Photos(classes=3, train=10, val=5, test=6))
    return sorted({one.kind for one in work if one.verb not in FREE})


def is_network(kind: tuple[str, str]) -> bool:
    return bool(kind[1]) or kind[0] in ("embed", "pretrain")


@pytest.fixture(scope="module")
def models() -> Models:
    return Models(SETTINGS.profiles["mini"], 10, CPU)


@pytest.mark.parametrize("kind", [kind for kind in kinds("mini") if is_network(kind)], ids=" ".join)
def test_networks_of_the_miniature(models, kind):
    timed = network_work(kind, models.profile, models)
    assert smallest(kind) < largest(kind, models.profile)
    assert timed(smallest(kind)) >= 0  # of the decoder, another time is taken off
    assert timed(9) >= 0


@pytest.mark.parametrize("name", ["mini", "photos", "paper"])
def test_work_on_photos(name):
    profile = SETTINGS.profiles[name]
    for verb in sorted({kind[0] for kind in kinds(name) if not is_network(kind)}):
        known = photo_work(verb, profile, CPU)
        assert known is not None, verb
        run, together = known
        run(1)
        assert together >= 1
    assert photo_work("sleep", profile, CPU) is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", [("perturb", "side"), ("train on", "single"), ("train classifier", "fcam")],
                         ids=" ".join)  # fmt: skip
def test_a_convolutional_encoder(kind):
    models = Models(SETTINGS.profiles["photos"], 10, CPU)
    assert network_work(kind, models.profile, models)(smallest(kind)) > 0


def test_timing_leaves_the_networks_weights_as_they_are(models):
    adapter = models.explained("side").adapter
    before = {name: value.clone() for name, value in adapter.named_parameters()}
    network_work(("train on", "side"), models.profile, models)(8)
    for name, value in adapter.named_parameters():
        torch.testing.assert_close(value, before[name], atol=1e-6, rtol=0)
    assert not adapter.training
