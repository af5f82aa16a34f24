"""The engine: every perturbed image is scored once, in its place, whatever the batch."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ala.contracts.preprocessing import Preprocessing
from ala.explainers import attention, rise
from ala.perturbation import engine, predict
from ala.perturbation import target_scores as scores_of
from ala.utils.errors import UserError

CPU = torch.device("cpu")


def without_lanes(patch: pytest.MonkeyPatch) -> None:
    """Give models the batches that are requested, as on a GPU."""

    def whole(score: Any, images: Tensor, fill: Any = None) -> Tensor:
        if fill is not None:
            fill(0, len(images))
        predictions: Tensor = score(images)
        return predictions

    for module in (engine, attention):
        patch.setattr(module, "in_lanes", whole)
    for module in (engine, attention, rise):
        patch.setattr(module, "whole_lanes", lambda batch, image_size, device: batch)


target_scores = partial(scores_of, probabilities=False)  # of `Columns`, whose scores are no probabilities


class Numbered:
    """Perturbed image f of image p is an image filled with 100 p + f."""

    image_size = 2

    def __init__(self, count: int) -> None:
        self.count = count

    def fill(self, index: int, start: int, stop: int, out: Tensor) -> None:
        assert out.shape == (stop - start, 3, 2, 2)
        out.copy_((100 * index + torch.arange(start, stop)).float().view(-1, 1, 1, 1).expand_as(out))


class Columns:
    """The score of class k is the image's value + 1000 k; keeps the sizes of its batches."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        return images.mean(dim=(1, 2, 3))[:, None] + 1000 * torch.arange(3.0)


@given(images=st.integers(1, 5), count=st.integers(1, 9), batch=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_every_perturbed_image_is_scored_in_its_place(images: int, count: int, batch: int) -> None:
    targets = np.arange(images) % 3
    model = Columns()
    with pytest.MonkeyPatch.context() as patch:
        without_lanes(patch)
        found = target_scores(model, targets, Numbered(count), batch, CPU, "test")
    expected = 100 * np.arange(images)[:, None] + np.arange(count) + 1000 * targets[:, None]
    np.testing.assert_array_equal(found, expected)
    full, rest = divmod(images * count, batch)
    assert model.sizes == [batch] * full + [rest] * (rest > 0)  # packed: only the last forward may be short


def test_predict_keeps_the_order_of_rows() -> None:
    class Images:
        image_ids = np.arange(4)

        def pixels(self, indices: np.ndarray) -> Tensor:
            return torch.as_tensor(indices, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2) * 51

    class Share:
        preprocessing = Preprocessing(2, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

        def __call__(self, images: Tensor) -> Tensor:
            share = images.mean(dim=(1, 2, 3))
            return torch.stack([share, 1 - share], 1)

    found = predict(Share(), Images(), np.array([3, 0, 2]), 2, CPU)
    assert found == pytest.approx(np.array([[0.6, 0.4], [0.0, 1.0], [0.4, 0.6]]), abs=1e-6)


class Small(Columns):
    """Runs out of memory with more than `room` images."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def __call__(self, images: Tensor) -> Tensor:
        if len(images) > self.room:
            raise torch.OutOfMemoryError("no")
        return super().__call__(images)


def test_out_of_memory_halves_the_batch_once_and_keeps_every_score(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_lanes(monkeypatch)
    targets = np.array([0, 1, 2])
    model = Small(5)
    found = target_scores(model, targets, Numbered(9), 16, CPU, "test")
    np.testing.assert_array_equal(found, target_scores(Columns(), targets, Numbered(9), 16, CPU, "test"))
    assert model.sizes == [4, 4, 4, 4, 4, 4, 3]  # 16 and 8 were too much
    said = capsys.readouterr().err
    assert said.count("out of memory") == 2
    assert "out of memory with 8 images at a time, going on with 4" in said


def test_no_memory_for_one_image_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    without_lanes(monkeypatch)
    with pytest.raises(UserError, match=r"^the device has no memory for one image \(no\); free it or use --"):
        target_scores(Small(0), np.array([0]), Numbered(3), 2, CPU, "test")


def test_predictions_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    without_lanes(monkeypatch)

    class Images:
        image_ids = np.arange(20)

        def pixels(self, indices: np.ndarray) -> Tensor:
            return torch.as_tensor(indices, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2) * 12

    class Net(nn.Module):
        preprocessing = Preprocessing(2, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

        def __init__(self, room: int) -> None:
            super().__init__()
            self.room = room
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
            self.eval()

        def forward(self, images: Tensor) -> Tensor:
            if len(images) > self.room:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return self.layers(images).softmax(1)

    whole = predict(Net(64), Images(), np.arange(20), 16, CPU)
    small = Net(5)
    before = {name: value.clone() for name, value in small.state_dict().items()}
    np.testing.assert_allclose(predict(small, Images(), np.arange(20), 16, CPU), whole, atol=1e-6)
    assert "out of memory with 8 images at a time, going on with 4" in capsys.readouterr().err
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())


class Spoiled(Columns):
    """Predicts NaN for the image of value 102, perturbed image 2 of image 1."""

    preprocessing = Preprocessing(2, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

    def __call__(self, images: Tensor) -> Tensor:
        predictions = super().__call__(images)
        predictions[predictions[:, 0] == 102] = torch.nan
        return predictions


def test_nan_stops_the_work() -> None:
    message = "test: the model predicts NaN or infinity for 1 perturbed images, first of the image at position 1; try"
    with pytest.raises(UserError, match=message):
        target_scores(Spoiled(), np.array([0, 1, 2]), Numbered(4), 3, CPU, "test")

    class Images:
        image_ids = np.array([7, 8])

        def pixels(self, indices: np.ndarray) -> Tensor:
            return torch.zeros(len(indices), 3, 2, 2, dtype=torch.uint8)

    class Lost(Spoiled):
        def __call__(self, images: Tensor) -> Tensor:
            return torch.tensor([[0.5, 0.5], [0.5, torch.inf]])

    with pytest.raises(UserError, match=r"the model predicts NaN or infinity for image 8 \(1 in all\)"):
        predict(Lost(), Images(), np.arange(2), 4, CPU)
