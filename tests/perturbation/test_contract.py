"""A model that is no Classifier is refused by its first predictions, in one sentence, wherever a user calls it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ala.contracts.preprocessing import Preprocessing
from ala.metrics.insertion_deletion import blur_kernel, insertion_deletion
from ala.metrics.lab import lab_curves
from ala.perturbation import Running, predict
from ala.utils.errors import UserError
from tests.explainers.test_rise import rise, rise_maps

CPU, IMAGE_SIZE, CLASSES = torch.device("cpu"), 8, 3
ROWS = np.arange(2)


class Images:
    image_ids = np.array([5, 6])

    def pixels(self, indices: np.ndarray) -> Tensor:
        random = np.random.default_rng(0)
        return torch.as_tensor(random.integers(0, 256, (2, 3, IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8))[
            torch.as_tensor(indices)
        ]


class Net(nn.Module):
    """A user's network: gives logits, unless it is set to end in softmax."""

    preprocessing = Preprocessing.named(IMAGE_SIZE, "clip")

    def __init__(self, softmax: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.dropout, self.softmax, self.calls = nn.Linear(3, CLASSES), nn.Dropout(), softmax, 0

    def logits(self, images: Tensor) -> Tensor:
        self.calls += 1
        return 5 * self.linear(self.dropout(images.mean(dim=(2, 3)))) - 4

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images).softmax(1) if self.softmax else self.logits(images)


def of_rise(model: Any, **changes: Any) -> np.ndarray:
    return rise_maps(model, Images(), ROWS, ROWS, rise(n_masks=40, batch=4, **changes))


def of_insertion(model: Any) -> Any:
    maps, full = np.random.default_rng(1).random((2, 4, 4)).astype(np.float32), np.eye(2, CLASSES, dtype=np.float32)
    return insertion_deletion(model, Images(), ROWS, maps, full, method="mine", step=8, kernel=blur_kernel(3, 1.0),
                              seed=0, batch=4, device=CPU)  # fmt: skip


def of_lab(model: Any) -> Any:
    maps, classes = np.random.default_rng(1).random((2, 4, 4)).astype(np.float32), np.array([[0], [1]])
    return lab_curves(model, Images(), ROWS, maps, classes, points=4, levels=None, substrate="zero",
                      kernel=blur_kernel(3, 1.0), batch=4, device=CPU, what="lab")  # fmt: skip


CALLS = {
    "predict": lambda model: predict(model, Images(), ROWS, 4, CPU),
    "rise": of_rise,
    "insertion and deletion, mine": of_insertion,
    "lab": of_lab,
}


@pytest.mark.parametrize("name", CALLS)
def test_logits_are_refused_after_one_forward_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, threads = Net().eval(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.raises(UserError) as reported:
            CALLS[name](model)
    finally:
        torch.set_num_threads(threads)
    sums = model(model.preprocessing.normalise(Images().pixels(ROWS))).sum(1)
    message = str(reported.value)
    assert message.startswith(f"{name}: the model's predictions are no probabilities: values from -")
    assert message.endswith("; if they are logits, apply softmax")
    assert "\n" not in message
    if name == "predict":  # the images are the images themselves
        assert f"rows that sum to between {sums.min():.4g} and {sums.max():.4g};" in message
        assert model.calls == 2  # one more than ours above


@pytest.mark.parametrize("name", CALLS)
def test_training_mode_is_refused_before_any_forward_pass(name: str) -> None:
    model = Net(softmax=True).eval()
    CALLS[name](model)
    model.dropout.train()  # one forgotten part is enough
    model.calls = 0
    for one in (model, Running(model, "bf16")):
        with pytest.raises(UserError, match=rf"^{name}: Net is in training mode, .* call its eval\(\) first$"):
            CALLS[name](one)
    assert model.calls == 0


def test_half_precision_probabilities_pass_and_unnormalised_ones_do_not() -> None:
    class Given:
        preprocessing = Net.preprocessing

        def __init__(self, scale: float, dtype: torch.dtype) -> None:
            self.row = (torch.softmax(torch.arange(1000.0) / 100, 0) * scale).to(dtype)

        def __call__(self, images: Tensor) -> Tensor:
            return self.row.expand(len(images), -1)

    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        assert predict(Given(1, dtype), Images(), ROWS, 4, CPU).shape == (2, 1000)
    with pytest.raises(UserError, match=r"rows that sum to between 1\.1 and 1\.1;"):
        predict(Given(1.1, torch.float32), Images(), ROWS, 4, CPU)


@pytest.mark.parametrize("shape", [(), (CLASSES, 4, 4)])
def test_one_row_per_image_is_needed(shape: tuple[int, ...]) -> None:
    class Odd(Net):
        def forward(self, images: Tensor) -> Tensor:
            return torch.full((len(images), *shape), 1 / CLASSES)

    for call in (CALLS["predict"], CALLS["rise"]):
        with pytest.raises(UserError, match=r"where \(\d+, classes\) is needed"):
            call(Odd().eval())


def test_a_class_that_the_model_lacks_is_named() -> None:
    targets = np.array([0, CLASSES])
    with pytest.raises(UserError, match="class 3 is requested, but the model has 3 classes, counted from 0"):
        rise_maps(Net(softmax=True).eval(), Images(), ROWS, targets, rise())


def test_rise_of_logits_is_deliberate() -> None:
    """The author's preset: logits are requested by name and are no probabilities."""
    model = Net(softmax=True).eval()
    found = of_rise(model, output="logits")
    assert found.min() < 0  # as those of no probability
    with pytest.raises(UserError, match="in training mode"):
        of_rise(model.train(), output="logits")


def test_nan_in_the_first_batch_stops_the_work_there() -> None:
    class Lost(Net):
        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            return torch.full((len(images), CLASSES), torch.nan)

    for name, call in CALLS.items():
        model = Lost().eval()
        with pytest.raises(UserError, match="NaN or infinity"):
            call(model)
        assert model.calls <= torch.get_num_threads() * 16, name
