"""Models in bfloat16 and compiled: the answers stay close, and `auto` takes bfloat16 only where they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ala.config.schema import Engine
from ala.contracts.preprocessing import Preprocessing
from ala.encoder.clip_vit import ClipVit, build_visual
from ala.perturb import Running, precision, running
from tests.perturb.test_perturb import CPU


class Net(nn.Module):
    preprocessing = Preprocessing(4, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(48, 5)

    def logits(self, images: Tensor) -> Tensor:
        answers: Tensor = self.linear(images.flatten(1))
        return answers

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images).softmax(-1)


class Photos:
    image_ids = np.arange(20)

    def pixels(self, rows: np.ndarray) -> Tensor:
        random = np.random.default_rng(0)
        return torch.as_tensor(random.integers(0, 256, (20, 3, 4, 4)), dtype=torch.uint8)[rows]


IMAGES = torch.randn(6, 3, 4, 4, generator=torch.manual_seed(1))


def test_float32_is_the_model_itself() -> None:
    model = Net()
    assert running(model, Engine(precision="fp32", compile=False), CPU) is model


def test_bfloat16_is_close_and_sums_to_one_in_float32() -> None:
    model = Net()
    found, exact = Running(model, "bf16")(IMAGES), model(IMAGES)
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    torch.testing.assert_close(found, exact, atol=0.01, rtol=0)
    torch.testing.assert_close(found.sum(1), torch.ones(6))  # softmax itself is not rounded to bfloat16
    torch.testing.assert_close(Running(model, "bf16").logits(IMAGES), model.logits(IMAGES), atol=0.03, rtol=0)


def test_a_model_without_logits_is_run_as_it_is() -> None:
    class Plain:
        preprocessing = Net.preprocessing

        def __call__(self, images: Tensor) -> Tensor:
            return torch.full((len(images), 2), 0.5)

    found = Running(Plain(), "bf16")
    assert not hasattr(found, "logits")
    assert found(IMAGES).tolist() == [[0.5, 0.5]] * 6


class Moved:
    """Probabilities that move by `shift` in bfloat16."""

    preprocessing = Net.preprocessing

    def __init__(self, shift: float) -> None:
        self.shift = shift

    def __call__(self, images: Tensor) -> Tensor:
        p = 0.6 - self.shift * torch.is_autocast_enabled("cpu")
        return torch.tensor([[p, 1 - p]]).expand(len(images), -1)


@pytest.mark.parametrize(("shift", "taken"), [(5e-4, True), (2e-3, False)])
def test_auto_takes_bfloat16_where_answers_barely_move(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shift: float, taken: bool
) -> None:
    monkeypatch.setattr(precision, "has_fast_bf16", lambda device: True)
    found: Any = running(Moved(shift), Engine(precision="auto", compile=False), CPU, Photos())
    assert isinstance(found, Running) is taken
    assert ("using bfloat16" if taken else "bfloat16 is not close enough") in capsys.readouterr().err


def test_auto_is_float32_without_hardware_or_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Net()
    monkeypatch.setattr(precision, "has_fast_bf16", lambda device: False)
    assert running(model, Engine(precision="auto", compile=False), CPU, Photos()) is model
    monkeypatch.setattr(precision, "has_fast_bf16", lambda device: True)
    assert running(model, Engine(precision="auto", compile=False), CPU) is model


@pytest.mark.slow
def test_a_compiled_model_answers_the_same() -> None:
    model = Net()
    with torch.inference_mode():
        torch.testing.assert_close(Running(model, "fp32", compiled=True)(IMAGES), model(IMAGES), atol=1e-6, rtol=0)


@pytest.mark.slow
def test_a_compiled_encoder_answers_the_same() -> None:
    """Its taps are made in inference mode, which the compiler cannot trace."""
    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 16, "patch_size": 4, "width": 16, "layers": 2, "head_width": 8},
    }
    torch.manual_seed(0)
    encoder = ClipVit(build_visual(config), config, Preprocessing.named(16, "half"))

    class Net(nn.Module):
        preprocessing = encoder.preprocessing

        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head = encoder, nn.Linear(16, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.encoder.taps(images, [2])[2].mean(dim=(2, 3))).softmax(1)

    model, images = Net().eval(), torch.randn(4, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(Running(model, "fp32", compiled=True)(images), model(images), atol=1e-6, rtol=0)
