"""The counts: against a real run of the miniature, and by hand."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from ala.config import load
from ala.config.schema import Settings
from ala.plan.photos import Photos, count
from ala.plan.work import Work, curve_frames, forwards, lab_frames, model_of, stages, steps
from ala.utils.errors import UserError
from tests.imports import ROOT, dvc_stages

SETTINGS = load(ROOT / "params.yaml")
COSTS = json.loads((ROOT / "reports/provenance.json").read_text())["cost"]


def profile(name: str) -> Settings:
    return SETTINGS.model_copy(update={"profile": name})


def units(work: list[Work], stage: str, verb: str) -> int:
    return sum(one.units for one in work if (one.stage, one.verb) == (stage, verb))


@pytest.fixture(scope="module")
def mini() -> dict[str, int]:
    settings = profile("mini")
    return forwards(stages(settings, count(settings.active.data)))


@pytest.mark.parametrize("cell", [cell for cell in COSTS if COSTS[cell]["forwards"]])
def test_forward_passes_are_those_of_a_real_run(mini, cell):
    # The lab protocol skips frames that are the same image, and how many those are hangs on the maps.
    tolerance = 0.02 if cell.startswith("protocols") else 0
    assert mini[cell.split("@")[0]] == pytest.approx(COSTS[cell]["forwards"], rel=tolerance)


def test_every_stage_of_dvc_has_work():
    settings = profile("mini")
    names = [name for name in dvc_stages() if name != "check"]  # a second that no profile changes
    photos = count(settings.active.data)
    more = settings.model_copy(update={"extensions": ["lora", "all-taps"]})
    assert list(dict.fromkeys(one.stage for one in stages(more, photos))) == names
    assert list(dict.fromkeys(one.stage for one in stages(settings, photos))) == [n for n in names if n != "extend"]


def test_an_extension_is_trained_explained_and_scored_as_row_iii():
    settings = profile("mini").model_copy(update={"extensions": ["all-taps"]})
    photos = count(settings.active.data)
    work = stages(settings, photos)
    assert units(work, "extend", "explain") == photos.val + photos.test
    assert units(work, "extend", "perturb") == photos.test + 30 * curve_frames(settings.active)
    assert units(work, "extend", "train on") == units(work, "extend", "train off") == 20 * photos.train


def test_photos_of_each_source(tmp_path):
    assert count(profile("mini").active.data) == Photos(classes=10, train=250, val=50, test=290)
    assert count(profile("paper").active.data) == Photos(classes=200, train=5000, val=994, test=5794)
    data, gone = profile("photos").active.data, tmp_path / "gone"
    assert count(data, (10, 418, 414)) == Photos(classes=10, train=220, val=198, test=414)
    with pytest.raises(UserError, match=r"gone is not there.*--photos 200 5994 5794"):
        count(data, folder=gone)
    with pytest.raises(UserError, match="leaves none of 200 official"):
        count(data, (10, 200, 414))


def test_subsets():
    photos = Photos(classes=10, train=250, val=50, test=290)
    assert photos.all == 590
    assert photos.subset("test", 3) == 30
    assert photos.subset("val", None) == 50


def test_curves_and_lab_frames_by_hand():
    assert steps(80, 160) == 40
    assert steps(81, 160) == 42  # the last step is a short one
    mini = profile("mini").active
    assert curve_frames(mini) == 79
    assert lab_frames(mini) == 2 * 2 * (12 + 2)  # insertion and deletion, two grounds; 12 points, or 2 of 3 levels
    assert lab_frames(mini, distinct=1) == 2 * 2 * (1 + 1)
    assert lab_frames(mini, distinct=2) == 2 * 2 * (2 + 2)


def test_aea_halves_the_on_steps_and_augmentation_needs_live_features():
    settings = profile("paper")
    work = stages(settings, Photos(classes=2, train=10, val=3, test=4))
    assert units(work, "train", "train on") == 10 * (60 + 120 + 60 + 120)
    assert units(work, "train", "train off") == 10 * (60 + 60)
    assert units(work, "train_abn", "encode") == 10 * 120 + 3 * 120
    kept = stages(profile("mini"), Photos(classes=2, train=10, val=3, test=4))
    assert units(kept, "train_abn", "encode") == 2 * 10 + 3  # each photo and its mirror image, once
    assert units(kept, "train", "augment") == 0


def test_a_layer_that_is_there_is_not_trained_again():
    work = stages(profile("mini"), Photos(classes=2, train=10, val=3, test=4))
    trained = Counter(one.model for one in work if (one.stage, one.verb) == ("layers", "train on"))
    assert trained == {"abn-1": 1, "abn-2": 1, "abn-3": 1}


def test_networks_have_names():
    mini = profile("mini").active
    assert [model_of(v, mini) for v in ("aea-true-sbn-true", "aea-true-sbn-false", "abn")] == [
        "side",
        "single",
        "abn-0",
    ]
