"""Answers of models survive a run that is cut off: the next one asks only for the rest and ends with the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ala.contracts.preprocessing import Preprocessing
from ala.explainers.attention import explain_photos
from ala.explainers.rise import rise_maps
from ala.metrics.insertion_deletion import blur_kernel, insertion_deletion
from ala.perturbation import predict, target_scores
from ala.utils.kept import current, keeping, once
from ala.utils.resume import Resumable
from tests.explainers.test_rise import rise
from tests.perturbation.test_perturb import CPU, Numbered, without_lanes


class Model:
    """Predicts by the image's mean; stops with an error after `calls` calls."""

    preprocessing = Preprocessing(2, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

    def __init__(self, calls: int = 10**9) -> None:
        self.left, self.sizes = calls, list[int]()

    def __call__(self, images: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("killed")
        self.sizes.append(len(images))
        share = (images.mean(dim=(1, 2, 3)) / 100).sigmoid()
        return torch.stack([share / 6, share / 3, 1 - share / 2], dim=1)


class Photos:
    def __init__(self, count: int, side: int) -> None:
        self.image_ids = np.arange(count) + 5
        random = np.random.default_rng(0)
        self.images = torch.as_tensor(random.integers(0, 256, (count, 3, side, side), dtype=np.uint8))

    def pixels(self, rows: np.ndarray) -> Tensor:
        return self.images[torch.as_tensor(rows)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALA_KEEP_SECONDS", "0")
    without_lanes(monkeypatch)


def work(tmp_path: Path) -> Resumable:
    return Resumable.open("test", {}, root=tmp_path)


@pytest.mark.parametrize("killed_after", [0, 1, 2, 3, 6])
def test_scores_go_on_where_they_were(tmp_path: Path, killed_after: int) -> None:
    targets = np.array([0, 1, 2, 0])
    unbroken = Model()
    expected = target_scores(unbroken, targets, Numbered(9), 5, CPU, "test")

    with pytest.raises(RuntimeError, match="killed"), keeping(work(tmp_path)):
        target_scores(Model(killed_after), targets, Numbered(9), 5, CPU, "test")
    rest = Model()
    with keeping(work(tmp_path)):
        found = target_scores(rest, targets, Numbered(9), 5, CPU, "test")
    np.testing.assert_array_equal(found, expected)
    assert rest.sizes == unbroken.sizes[killed_after:]
    assert not list((tmp_path / "resume").glob("test-*"))  # removed at the end


@pytest.mark.parametrize("killed_after", range(0, 27, 2))
def test_a_whole_stage_goes_on_where_it_was(tmp_path: Path, killed_after: int) -> None:
    """Predict, RISE in turns and groups, maps, insertion and deletion, one after another."""
    photos, rows = Photos(4, 16), np.array([3, 0, 2])

    def stage(model: Any) -> list[np.ndarray]:
        model.preprocessing = Preprocessing(16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        full = predict(model, photos, rows, 2, CPU)
        targets = np.array([0, 2, 1])
        maps = rise_maps(model, photos, rows, targets, rise(n_masks=30, batch=8), CPU, memory=16 * 1024, sums=2048)
        own = explain_photos(lambda images: model(images)[:, :1, None], model.preprocessing, photos, rows, 2, CPU)
        options: dict[str, Any] = {"step": 50, "kernel": blur_kernel(3, 1.0), "seed": 0, "batch": 4, "device": CPU}
        curves = insertion_deletion(model, photos, rows, maps, full, method="rise", **options)
        extra = once(lambda: {"a": model(torch.ones(1, 3, 2, 2)).numpy(), "b": np.arange(3)}, "extra")
        return [full, maps, own, curves.insertion, curves.deletion, curves.tie_shares, extra["a"], extra["b"]]

    unbroken = Model()
    expected = stage(unbroken)
    assert len(unbroken.sizes) == 27
    broken = Model(killed_after)
    with pytest.raises(RuntimeError, match="killed"), keeping(work(tmp_path)):
        stage(broken)
    rest = Model()
    with keeping(work(tmp_path)):
        found = stage(rest)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    # One more at the most: the answer to the empty photo, which insertion and deletion ask for at their end.
    assert len(broken.sizes) + len(rest.sizes) - len(unbroken.sizes) in (0, 1)


def test_without_a_stage_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call = current()
    assert not call.due()
    call.add(0, np.ones(3), "test")
    assert call.get(0) is None
    assert once(lambda: {"a": np.ones(2)}, "test")["a"].tolist() == [1, 1]
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_before_it_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALA_KEEP_SECONDS", "1000")
    with keeping(work(tmp_path)):
        target_scores(Model(), np.array([0, 1]), Numbered(9), 5, CPU, "test")
        assert not list(tmp_path.rglob("*.unit"))
