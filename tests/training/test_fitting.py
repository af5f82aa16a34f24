"""A device whose memory runs out: an adapter that refuses more than so many photos stands for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ala.config import Profile
from ala.model.adapter import Adapter
from ala.runtime.errors import UserError
from ala.runtime.fitting import Fitting
from ala.training.loop import Trained, train_variant

FULL = "aea-true-sbn-true"


@pytest.fixture
def seen() -> list[int]:
    """How many photos each pass of the adapter was given."""
    return []


def limited(monkeypatch: pytest.MonkeyPatch, most: int, seen: list[int]) -> None:
    """Every adapter runs out of memory above `most` photos, after it has drawn random numbers."""
    forward = Adapter.forward

    def stub(self: Adapter, images: Any, *rest: Any) -> Any:
        seen.append(len(images))
        if len(images) > most:
            torch.rand(3)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, images, *rest)

    monkeypatch.setattr(Adapter, "forward", stub)


def plain(profile: Profile) -> Profile:
    """No dropout, no BatchNorm in PB, no AB, no mirroring: nothing then hangs on how a batch is cut."""
    raw = profile.model_dump()
    raw["ala"]["perception"] |= {"norm": "group", "dropout": 0.0}
    raw["ala"]["attention"] |= {"map_dropout": 0.0}
    raw["ala"]["lambda_ab"] = 0.0
    raw["train"]["augment"]["hflip"] = 0.0
    return Profile.model_validate(raw)


def trained(profile: Profile, encoder: Any, train: Any, val: Any, log: list[str]) -> Trained:
    return train_variant(FULL, profile, encoder, train, val, 3, 0, log=log.append)


def test_parts_are_nearly_equal_and_never_a_single_photo() -> None:
    for size in range(2, 9):
        for count in range(2, 40):
            fitting = Fitting(64)
            fitting.size = size
            parts = fitting.parts(np.arange(count))
            lengths = [len(part) for part in parts]
            assert np.concatenate(parts).tolist() == list(range(count))
            assert min(lengths) >= 2
            assert max(lengths) <= size + (size % 2 or size == 2)  # 3 photos cannot be cut into pairs
            assert max(lengths) - min(lengths) <= 1


def test_the_batch_is_halved_once_with_a_message(
    profile: Profile, encoder: Any, train: Any, val: Any, monkeypatch: pytest.MonkeyPatch, seen: list[int]
) -> None:
    log: list[str] = []
    limited(monkeypatch, 5, seen)
    trained(profile, encoder, train, val, log)
    assert log == [
        "the device ran out of memory with 16 photos at once: from now on 8, the effective batch stays 16; BatchNorm"
        " sees each part by itself",
        "the device ran out of memory with 8 photos at once: from now on 4, the effective batch stays 16; BatchNorm"
        " sees each part by itself",
        "the device ran out of memory with 18 photos at once: from now on 9, the effective batch stays 18",
        "the device ran out of memory with 9 photos at once: from now on 4, the effective batch stays 18",
    ]
    assert seen[:3] == [16, 8, 4]
    assert sum(n > 5 for n in seen) == 4  # what fits is remembered, in later epochs, too


def test_parts_train_as_the_whole_batch_does(
    profile: Profile, encoder: Any, train: Any, val: Any, monkeypatch: pytest.MonkeyPatch, seen: list[int]
) -> None:
    """Where no layer looks across photos: the effective batch is unchanged."""
    profile = plain(profile)
    whole = trained(profile, encoder, train, val, [])
    limited(monkeypatch, 4, seen)
    parts = trained(profile, encoder, train, val, [])
    for a, b in zip(whole.curve, parts.curve, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-3)
        assert a["lr"] == b["lr"]


def test_a_halved_run_is_that_of_a_run_that_began_so(
    profile: Profile, encoder: Any, train: Any, val: Any, monkeypatch: pytest.MonkeyPatch, seen: list[int]
) -> None:
    """What the failed attempt drew is drawn again, so an interrupted run that fails anew goes the same way."""
    limited(monkeypatch, 8, seen)
    halved = trained(profile, encoder, train, val, [])
    begin = Fitting.__init__

    def small(self: Fitting, batch: int, least: int = 2, log: Any = print) -> None:
        begin(self, batch, least, log)
        self.size = 8 if least == 2 else 9

    monkeypatch.setattr(Fitting, "__init__", small)
    began = trained(profile, encoder, train, val, [])
    assert [row["train_loss"] for row in halved.curve] == [row["train_loss"] for row in began.curve]


def test_validation_in_parts_gives_the_same_numbers(
    profile: Profile, encoder: Any, train: Any, val: Any, monkeypatch: pytest.MonkeyPatch, seen: list[int]
) -> None:
    from ala.training.features import CachedSource
    from ala.training.loop import validate

    model = trained(profile, encoder, train, val, []).model
    source = CachedSource(encoder, val, [0, 1, 3], 0.0, torch.device("cpu"))
    whole = validate(model.adapter, source)
    limited(monkeypatch, 5, seen)
    parts = validate(model.adapter, source)
    assert seen == [18, 9, 4, 4, 4, 3, 3]
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    np.testing.assert_allclose(parts.alpha, whole.alpha, atol=1e-6)


def test_a_device_that_cannot_hold_two_photos_is_refused(
    profile: Profile, encoder: Any, train: Any, val: Any, monkeypatch: pytest.MonkeyPatch, seen: list[int]
) -> None:
    limited(monkeypatch, 1, seen)
    with pytest.raises(UserError, match=r"too little memory for 2 photos at once \(CUDA out of memory\)"):
        trained(profile, encoder, train, val, [])
    assert seen == [16, 8, 4, 2]
