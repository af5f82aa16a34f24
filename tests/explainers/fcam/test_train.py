"""The whole of F-CAM on coloured squares, and what must hold while it trains."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor

from ala.config import load
from ala.config.schema import Fcam as Settings
from ala.contracts.classifier import Classifier
from ala.data.image_cache import ImageCache
from ala.explainers.fcam import load_fcam, save_fcam, train_fcam
from ala.explainers.fcam.classifier import CamClassifier
from ala.explainers.fcam.decoder import Decoder
from ala.explainers.fcam.model import Trained
from ala.explainers.fcam.train_classifier import train_classifier
from ala.explainers.fcam.train_decoder import train_decoder
from ala.utils.errors import UserError

Toy = Callable[..., ImageCache]
Make = Callable[..., Settings]


def iou(maps: Tensor, image_cache: ImageCache) -> float:
    truth = image_cache.foreground(slice(None))
    found = maps.numpy() > 0.5
    return float(np.mean((found & truth).sum((1, 2)) / (found | truth).sum((1, 2))))


@pytest.mark.slow
def test_fcam_finds_the_planted_square(toy: Toy, settings: Make) -> None:
    train, val = toy(96, 48, 0), toy(32, 48, 1, "val")
    trained = train_fcam(train, val, settings(classifier__epochs=5, decoder__epochs=8, seeds__erode=7), seed=0)
    images = trained.model.preprocessing.normalise(val.pixels(slice(None)))
    accuracy = (trained.model.classifier(images).argmax(1) == torch.from_numpy(val.labels)).float().mean()
    assert accuracy > 0.9
    maps = trained.model.explain(images)
    truth = torch.from_numpy(val.foreground(slice(None)))
    assert iou(torch.ones_like(maps), val) < 0.25
    assert iou(maps, val) > 0.5
    assert maps[truth].mean() > 0.9
    assert maps[~truth].mean() < 0.25
    assert trained.decoder_curve["partial_ce"].iloc[-1] < 0.1 < trained.decoder_curve["partial_ce"].iloc[0]
    assert trained.decoder_curve["crf"].iloc[-1] < trained.decoder_curve["crf"].iloc[0]
    assert (trained.decoder_curve["unseeded"] == 0).all()


@pytest.fixture(scope="module")
def small() -> tuple[ImageCache, ImageCache]:
    import importlib.util

    path = Path(__file__).with_name("conftest.py")
    spec = importlib.util.spec_from_file_location("fcam_toy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.draw(12, 48, 0), module.draw(8, 48, 1, "val")


def run(small: tuple[ImageCache, ImageCache], options: Settings, seed: int = 0) -> Trained:
    return train_fcam(*small, options, seed)


def test_a_seed_gives_one_result(small: tuple[ImageCache, ImageCache], settings: Make) -> None:
    first, second, other = (run(small, settings(), seed) for seed in (0, 0, 1))
    for key, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[key]), key
    pd.testing.assert_frame_equal(first.decoder_curve, second.decoder_curve)
    assert not first.classifier_curve.equals(other.classifier_curve)
    assert first.decoder_curve["t"].tolist() == pytest.approx([1.0, 1.01])
    assert list(first.classifier_curve["epoch"]) == [0, 1]


def test_the_decoder_stage_leaves_the_classifier_as_it_is(small: tuple[ImageCache, ImageCache], settings: Make) -> None:
    torch.manual_seed(0)
    options = settings()
    classifier = CamClassifier(options, 4)
    decoder = Decoder(classifier.channels, classifier.strides, options.decoder_channels)
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    start = {key: value.clone() for key, value in decoder.state_dict().items()}
    for limit in ("cached", "again"):
        train = small[0]
        if limit == "again":  # random crops of larger images cannot be cached
            wide = np.pad(train.images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="edge")
            train = ImageCache(56, "train", train.names, train.image_ids, train.labels, wide, train.masks, train.boxes)
        train_decoder(classifier, decoder, train, options, 0)
        for key, value in classifier.state_dict().items():
            assert torch.equal(value, before[key]), key
        assert all(p.grad is None and not p.requires_grad for p in classifier.parameters())
        assert not classifier.training
    assert all(not torch.equal(value, start[key]) for key, value in decoder.state_dict().items())


def test_masks_are_never_read(small: tuple[ImageCache, ImageCache], settings: Make) -> None:
    first = run(small, settings())
    blind = [
        ImageCache(s.size, s.split, s.names, s.image_ids, s.labels, s.images, np.zeros_like(s.masks), s.boxes * 0)
        for s in small
    ]
    second = train_fcam(blind[0], blind[1], settings(), 0)
    for key, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[key]), key


def test_the_best_validation_epoch_is_kept(small: tuple[ImageCache, ImageCache], settings: Make) -> None:
    torch.manual_seed(0)
    options = settings(classifier__epochs=4, classifier__lr=0.3)
    classifier = CamClassifier(options, 4)
    curve, chosen = train_classifier(classifier, *small, options, 0)
    best = curve.sort_values(["val_accuracy", "val_loss"], ascending=[False, True]).iloc[0]
    assert chosen["epoch"] == best["epoch"]
    images = classifier.preprocessing.normalise(small[1].pixels(slice(None)))
    with torch.no_grad():
        right = (classifier(images).argmax(1) == torch.from_numpy(small[1].labels)).float().mean()
    assert float(right) == pytest.approx(best["val_accuracy"])
    assert not classifier.training


def test_box_accuracy_can_choose(small: tuple[ImageCache, ImageCache], settings: Make) -> None:
    options = settings(select="val_box_accuracy")
    curve, chosen = train_classifier(CamClassifier(options, 4), *small, options, 0)
    assert curve["val_box_accuracy"].between(0, 1).all()
    assert chosen["val_box_accuracy"] == curve["val_box_accuracy"].max()


@pytest.mark.parametrize("stage", ["classifier", "decoder"])
def test_a_loss_that_is_no_number_stops_with_its_place(
    small: tuple[ImageCache, ImageCache], settings: Make, stage: str
) -> None:
    options = settings(**{f"{stage}__lr": 1e30, f"{stage}__epochs": 30})
    with pytest.raises(
        UserError,
        match=rf"F-CAM {stage}: the (loss|gradients' norm) is \w+ in epoch \d+, batch \d+ \(images \d+, .*lower",
    ):
        run(small, options)


def test_a_collapsed_classifier_stops_the_decoder(small: tuple[ImageCache, ImageCache], settings: Make) -> None:
    options = settings()
    classifier = CamClassifier(options, 4)
    torch.nn.init.zeros_(classifier.head.weight)  # every CAM is constant
    decoder = Decoder(classifier.channels, classifier.strides, options.decoder_channels)
    with pytest.raises(UserError, match=r"in epoch 0 every image's CAM is constant.*lower fcam.classifier.lr"):
        train_decoder(classifier, decoder, small[0], options, 0)


def test_image_caches_of_another_size_are_refused(small: tuple[ImageCache, ImageCache], settings: Make) -> None:
    with pytest.raises(UserError, match="train images at 64 px, these are at 48 px"):
        train_fcam(*small, settings(resize=64), 0)


def test_the_model_comes_back_from_disk(small: tuple[ImageCache, ImageCache], settings: Make, tmp_path: Path) -> None:
    trained = run(small, settings())
    used = {"classifier": {"threads": 1}, "decoder": {"threads": 1}}
    save_fcam(tmp_path / "seed-0", trained, used)
    loaded = load_fcam(tmp_path / "seed-0")
    assert {f.name for f in (tmp_path / "seed-0").iterdir()} == {
        "classifier.safetensors", "decoder.safetensors", "model.json", "classifier_curve.csv", "decoder_curve.csv",
    }  # fmt: skip
    images = loaded.preprocessing.normalise(small[1].pixels(slice(None)))
    maps, probabilities = loaded.explain(images), loaded.classifier(images)
    assert maps.shape == (8, 48, 48)
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert not maps.requires_grad
    assert isinstance(loaded.classifier, Classifier)
    assert torch.allclose(probabilities.sum(1), torch.ones(8), atol=1e-5)
    assert torch.allclose(maps, trained.model.explain(images), atol=1e-6)
    assert torch.allclose(probabilities, trained.model.classifier(images), atol=1e-6)
    # One image's prediction does not depend on the others, nor on a call of train().
    assert torch.allclose(loaded.train().explain(images[:1]), maps[:1], atol=1e-5)
    assert all(not module.training for module in loaded.modules())
    about = json.loads((tmp_path / "seed-0" / "model.json").read_text())
    assert about["classes"] == 4
    assert about["used"] == used
    assert about["classifier"]["val_accuracy"] == trained.about["classifier"]["val_accuracy"]


@pytest.mark.parametrize("damage", ["no folder", "json", "format", "weights", "other", "half"])
def test_a_damaged_model_is_refused(
    small: tuple[ImageCache, ImageCache], settings: Make, tmp_path: Path, damage: str
) -> None:
    options = settings(classifier__epochs=1, decoder__epochs=1)
    folder = tmp_path / "seed-0"
    save_fcam(folder, run(small, options))
    about = json.loads((folder / "model.json").read_text())
    if damage == "no folder":
        shutil.rmtree(folder)
    elif damage == "json":
        (folder / "model.json").write_text("{")
    elif damage == "format":
        (folder / "model.json").write_text(json.dumps({**about, "format": 99}))
    elif damage == "weights":
        (folder / "decoder.safetensors").unlink()
    elif damage == "other":
        about["settings"]["decoder_channels"] = [8, 8, 8, 8, 8]
        (folder / "model.json").write_text(json.dumps(about))
    else:
        data = (folder / "classifier.safetensors").read_bytes()
        (folder / "classifier.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=str(folder)):
        load_fcam(folder)


def write_image_cache(folder: Path, image_caches: tuple[ImageCache, ...]) -> None:
    """As ala.data.image_cache lays it out."""
    folder.mkdir(parents=True)
    for image_cache in image_caches:
        for part, value in (("images", image_cache.images), ("masks", image_cache.masks), ("ids",
                            image_cache.image_ids), ("labels", image_cache.labels), ("boxes",
                            image_cache.boxes)):  # fmt: skip
            np.save(folder / f"{image_cache.split}-{part}.npy", value)
    splits = {image_cache.split: len(image_cache) for image_cache in image_caches}
    about = {"version": 1, "size": image_caches[0].size, "names": image_caches[0].names, "splits": splits}
    (folder / "image_cache.json").write_text(json.dumps(about))


def test_the_stage_writes_a_model_or_one_sentence(
    small: tuple[ImageCache, ImageCache], settings: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from stages.fcam import main

    raw = load("params.yaml").model_dump()
    raw["profile"] = "mini"
    raw["profiles"]["mini"]["fcam"] = settings(classifier__epochs=1, decoder__epochs=1).model_dump()
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(raw))
    write_image_cache(tmp_path / "image_cache" / "48", small)
    main(seed=0, params=params, images=tmp_path / "image_cache", out=tmp_path / "models", device="cpu")
    assert load_fcam(tmp_path / "models" / "seed-0").preprocessing.size == 48
    assert "val accuracy" in capsys.readouterr().out

    with pytest.raises(SystemExit) as caught:
        main(seed=1, params=params, images=tmp_path / "nowhere", out=tmp_path / "models", device="cpu")
    assert caught.value.code == 2
    assert "does not exist" in capsys.readouterr().err
    assert not (tmp_path / "models" / "seed-1").exists()
