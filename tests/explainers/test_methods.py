"""Which model a method explains, and which photos get maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ala.config import Settings, load
from ala.contracts.preprocessing import Preprocessing
from ala.data.store import Store, subset_rows
from ala.explainers import methods
from ala.utils.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def settings() -> Settings:
    """The project's miniature with a few RISE masks, so that toys suffice."""
    whole = load("params.yaml")
    mini = whole.profiles["mini"]
    rise = mini.rise.model_copy(update={"n_masks": 20})
    mini = mini.model_copy(update={"rise": rise})
    return whole.model_copy(update={"profile": "mini", "profiles": {"mini": mini}, "aea": True, "sbn": False})


def store(split: str, per_class: int = 4) -> Store:
    random, n = np.random.default_rng(0), 2 * per_class
    images = random.integers(0, 256, (n, 16, 16, 3)).astype(np.uint8)
    masks, boxes = np.zeros((n, 16, 16), np.uint8), np.tile(np.array([2, 3, 5, 4], np.float32), (n, 1))
    return Store(16, split, ["a", "b"], np.arange(1, n + 1), np.arange(n) % 2, images, masks, boxes)


class Toy:
    preprocessing = Preprocessing.named(16, "clip")

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        share = images.mean(dim=(1, 2, 3)).sigmoid()
        return torch.stack([share, 1 - share], 1)

    def explain(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(1)[:, ::4, ::4].sigmoid()


@pytest.mark.parametrize(
    ("method", "name"),
    [("rise", "aea-true-sbn-false"), ("trivial", "aea-true-sbn-false"), ("abn", "abn"),
     ("aea-false-sbn-true", "aea-false-sbn-true")],
)  # fmt: skip
def test_a_method_explains_its_own_model_or_the_main_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, method: str, name: str
) -> None:
    asked: list[Path] = []

    def load_model(folder: Path, encoder: Path, device: torch.device) -> Toy:
        asked.extend([folder, encoder])
        return Toy()

    monkeypatch.setattr("ala.model.checkpoint.load_model", load_model)
    found = methods.load_explained(method, 2, settings, Path("models"), CPU)
    assert (found.name, found.calibrated) == (name, False)
    assert asked == [Path("models") / name / "seed-2", Path("models/encoder")]


def test_fcam_is_calibrated_and_probed_on_its_classifier(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fcam:
        classifier = Toy()
        explain = classifier.explain

    monkeypatch.setattr("ala.explainers.fcam.load_fcam", lambda folder, device: Fcam)
    found = methods.load_explained("fcam", 0, settings, Path("models"), CPU)
    assert (found.name, found.calibrated) == ("fcam", True)
    assert found.classifier is Fcam.classifier
    maps = methods.own_maps(found, store("test"), 3, CPU)
    assert maps.calibrated


def test_an_unknown_method_is_refused(settings: Settings) -> None:
    with pytest.raises(UserError, match=r"method 'gradcam' does not exist; choose one of .*rise, trivial"):
        methods.load_explained("gradcam", 0, settings, Path("models"), CPU)


def test_own_maps_cover_all_photos() -> None:
    toy, photos = Toy(), store("val")
    maps = methods.own_maps(methods.Explained("abn", toy, toy.explain, False), photos, 3, CPU)
    assert (maps.method, maps.model) == ("abn", "abn")
    assert maps.importance.shape == (8, 4, 4)
    np.testing.assert_array_equal(maps.image_ids, photos.image_ids)
    assert (maps.targets == -1).all()


@pytest.mark.parametrize(("split", "per_class"), [("val", 1), ("test", 3)])
def test_rise_maps_cover_the_subset_for_the_predicted_class(settings: Settings, split: str, per_class: int) -> None:
    toy, photos = Toy(), store(split)
    maps = methods.rise_maps_of(methods.Explained("main", toy, toy.explain, False), photos, settings, CPU)
    rows = subset_rows(photos, per_class, settings.active.metrics.subset_seed)
    assert (maps.method, maps.model) == ("rise", "main")
    np.testing.assert_array_equal(maps.image_ids, photos.image_ids[rows])
    predicted = toy(toy.preprocessing.normalise(photos.pixels(rows))).argmax(1)
    np.testing.assert_array_equal(maps.targets, predicted.numpy())
    assert maps.importance.shape == (len(rows), 16, 16)


def test_trivial_maps(settings: Settings) -> None:
    found = {maps.method: maps for maps in methods.trivial_maps(store("test"), settings, 0)}
    assert list(found) == ["full", "center", "noise", "box"]
    assert found["noise"].importance.shape == (8, 2, 2)  # 16 pixels, 8 to ALA's token
    assert found["box"].importance.sum() == 8 * 20
