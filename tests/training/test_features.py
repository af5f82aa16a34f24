from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ala.training.features import CachedSource, LiveSource, Source, make_source
from ala.utils.seeds import torch_generator
from tests.training.settings import Augment

CPU = torch.device("cpu")
MIRROR = Augment(hflip=0.5)


def made(encoder: Any, images: Any, augment: Augment | None = MIRROR, **changes: Any) -> tuple[Source, list[str]]:
    log: list[str] = []
    options = {"fixed": True, "limit": 2**30} | changes
    return make_source(encoder, images, [0, 3], augment, CPU, log=log.append, **options), log


def test_kept_features_are_those_of_the_images(encoder: Any, train: Any) -> None:
    kept, _ = made(encoder, train)
    live = LiveSource(encoder, train, None, CPU)
    indices = np.array([5, 0, 40])
    a, b = kept.batch(indices, [3], None), live.batch(indices, [3], None)
    assert isinstance(kept, CachedSource)
    assert list(a.features) == [3]
    torch.testing.assert_close(a.images, b.images)
    torch.testing.assert_close(a.features[3], b.features[3])
    assert a.labels.tolist() == b.labels.tolist() == [2, 0, 1]


def test_mirrored_features_are_those_of_the_mirrored_images(encoder: Any, train: Any) -> None:
    kept, _ = made(encoder, train)
    indices = np.arange(48)
    batch = kept.batch(indices, [0], torch_generator(0, "augment", 0))
    plain = encoder.preprocessing.normalise(train.pixels(indices))
    mirrored = (batch.images != plain).flatten(1).any(1)
    assert 10 < mirrored.sum() < 38
    assert torch.equal(batch.images[mirrored], plain[mirrored].flip(-1))
    torch.testing.assert_close(batch.features[0], encoder.features(batch.images, [0])[0])
    assert not torch.allclose(batch.features[0][mirrored], encoder.features(plain, [0])[0][mirrored].flip(-1))


def test_each_image_is_encoded_once(encoder: Any, train: Any) -> None:
    kept, _ = made(encoder, train)
    assert encoder.encoded == 2 * 48
    for epoch in range(3):
        kept.batch(np.arange(48), [0, 3], torch_generator(0, "augment", epoch))
    assert encoder.encoded == 2 * 48
    encoder.encoded = 0
    made(encoder, train, None)
    assert encoder.encoded == 48  # images as they are: one orientation


@pytest.mark.parametrize(
    ("augment", "changes", "message"),
    [
        (MIRROR, {"fixed": False}, "the augmentation or LoRA changes them"),
        (Augment(hflip=0.5, blur=0.1), {}, "the augmentation or LoRA changes them"),
        (MIRROR, {"limit": 10_000}, r"encoder features would take 0.0 GiB \(bound 0.0\): made for each batch"),
    ],
)
def test_falls_back_and_says_why(encoder: Any, train: Any, augment: Augment, changes: Any, message: str) -> None:
    import re

    source, log = made(encoder, train, augment, **changes)
    assert isinstance(source, LiveSource)
    assert len(log) == 1
    assert re.search(message, log[0])


def test_bound_is_the_memory_that_is_used(encoder: Any, train: Any) -> None:
    source, _ = made(encoder, train)
    assert isinstance(source, CachedSource)
    used = sum(t.numel() * 4 for t in (source.images, *source.kept.values()))
    assert isinstance(made(encoder, train, limit=used)[0], CachedSource)
    assert isinstance(made(encoder, train, limit=used - 1)[0], LiveSource)


def test_live_images_are_augmented_with_a_generator_only(encoder: Any, train: Any) -> None:
    live = LiveSource(encoder, train, Augment(hflip=1.0), CPU)
    indices = np.arange(4)
    plain = live.batch(indices, [], None).images
    assert torch.equal(live.batch(indices, [], torch_generator(0, "a")).images, plain.flip(-1))


def test_features_are_made_in_parts_where_memory_runs_out(
    encoder: Any, train: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, _ = made(encoder, train)
    features, seen = type(encoder).features, []

    def limited(self: Any, images: Any, wanted: Any) -> Any:
        seen.append(len(images))
        if len(images) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return features(self, images, wanted)

    monkeypatch.setattr(type(encoder), "features", limited)
    parts, _ = made(encoder, train)
    assert isinstance(parts, CachedSource)
    assert isinstance(whole, CachedSource)
    assert seen == [48, 24, *[12] * 8]
    assert "out of memory with 24 images at a time, going on with 12\n" in capsys.readouterr().err
    torch.testing.assert_close(parts.images, whole.images)
    torch.testing.assert_close(parts.kept, whole.kept)


def test_features_without_room_are_made_for_each_batch(
    encoder: Any, train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch, "empty", full)
    source, log = made(encoder, train)
    assert isinstance(source, LiveSource)
    assert len(log) == 1
    assert "no room for" in log[0]
