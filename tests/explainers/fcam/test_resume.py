"""An F-CAM that was killed in either stage and goes on ends in the bytes of one that ran through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from ala.config.schema import Fcam as Settings
from ala.data.image_cache import ImageCache
from ala.explainers.fcam import train_decoder, train_fcam
from ala.explainers.fcam.model import Trained
from ala.utils.checkpoint import Checkpoint
from tests.training.toys import Killed, bytes_of, watch

Toy = Callable[..., ImageCache]
Make = Callable[..., Settings]
#: Three epochs of two steps each.
ALL = [(f"fcam.{stage}", epoch, batch) for stage in ("classifier", "decoder") for epoch in range(3) for batch in (0, 1)]


@pytest.fixture
def options(settings: Make) -> Settings:
    """The classifier's last epoch is not its best, so that `best` matters."""
    return settings(classifier__epochs=3, decoder__epochs=3, classifier__lr=0.4)


@pytest.fixture
def image_caches(toy: Toy) -> tuple[ImageCache, ImageCache]:
    return toy(12, 48, 0), toy(8, 48, 1, "val")


def run(image_caches: tuple[ImageCache, ImageCache], options: Settings, root: Path | None) -> Trained:
    checkpoint = Checkpoint.of("fcam", options.model_dump(mode="json"), root=root) if root is not None else None
    return train_fcam(*image_caches, options, seed=0, checkpoint=checkpoint)


def assert_same(found: Trained, expected: Trained) -> None:
    assert bytes_of(found.model) == bytes_of(expected.model)
    pd.testing.assert_frame_equal(found.classifier_curve, expected.classifier_curve, check_exact=True)
    pd.testing.assert_frame_equal(found.decoder_curve, expected.decoder_curve, check_exact=True)
    assert found.about == expected.about


@pytest.mark.parametrize("step", [1, 3, 5, 7, 10])
def test_it_goes_on_bit_by_bit(
    image_caches: tuple[ImageCache, ImageCache],
    options: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    unbroken = run(image_caches, options, None)
    assert unbroken.about["classifier"]["epoch"] < 2
    with monkeypatch.context() as patch:
        watch(patch, lambda *place: place == ALL[step])
        with pytest.raises(Killed):
            run(image_caches, options, tmp_path)
    torch.manual_seed(99)  # what other work left in the global generator
    begun = watch(monkeypatch)
    assert_same(run(image_caches, options, tmp_path), unbroken)
    assert begun == ALL[step // 2 * 2 :]  # the epoch that was cut, and none before it


def test_a_finished_one_is_not_repeated_and_makes_no_features(
    image_caches: tuple[ImageCache, ImageCache], options: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(image_caches, options, tmp_path)
    monkeypatch.delattr(train_decoder, "FrozenFeatures")
    begun = watch(monkeypatch)
    assert_same(run(image_caches, options, tmp_path), first)
    assert begun == []
