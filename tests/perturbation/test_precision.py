"""Models in bfloat16 and compiled: the predictions stay close, and a GPU without bfloat16 is reported."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from ala.config.schema import Engine
from ala.contracts.compute import used
from ala.contracts.preprocessing import Preprocessing
from ala.encoders.networks import make_encoder
from ala.perturbation import Running, running
from ala.utils.errors import UserError
from tests.perturbation.test_perturb import CPU


class Net(nn.Module):
    preprocessing = Preprocessing(4, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(48, 5)

    def logits(self, images: Tensor) -> Tensor:
        predictions: Tensor = self.linear(images.flatten(1))
        return predictions

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images).softmax(-1)


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


def test_bfloat16_is_refused_on_a_gpu_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, gpu = Engine(precision="bf16", compile=False), torch.device("cuda")
    assert isinstance(running(Net(), settings, CPU), Running)  # a CPU computes it in any case
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA GTX 1080")
    for has in (True, False):
        # Emulated bfloat16, which every GPU has, does not count.
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True, has=has: (
            has or including_emulation))  # fmt: skip
        if has:
            assert isinstance(running(Net(), settings, gpu), Running)
    message = "engine.precision is bf16, but NVIDIA GTX 1080 has no bfloat16 in hardware; set it to fp32"
    with pytest.raises(UserError, match=f"^{message}$"):
        running(Net(), settings, gpu)
    model = Net()
    assert running(model, Engine(precision="fp32", compile=False), gpu) is model


def test_what_was_used_names_the_gpu_and_nothing_else_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    expected = {"precision": "fp32", "device": "cpu", "gpu": None, "threads": threads, "batch": 4}
    assert used(CPU, "fp32", 4) == expected
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert used(torch.device("cuda", 1), "bf16", 64) == {
        "precision": "bf16", "device": "cuda", "gpu": "NVIDIA H200", "threads": threads, "batch": 64,
    }  # fmt: skip


@pytest.mark.slow
def test_a_compiled_model_predicts_the_same() -> None:
    model = Net()
    with torch.inference_mode():
        torch.testing.assert_close(Running(model, "fp32", compiled=True)(IMAGES), model(IMAGES), atol=1e-6, rtol=0)


@pytest.mark.slow
def test_a_compiled_encoder_predicts_the_same() -> None:
    """Its features are made in inference mode, which the compiler cannot trace."""
    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 16, "patch_size": 4, "width": 16, "layers": 2, "head_width": 8},
    }
    torch.manual_seed(0)
    encoder = make_encoder({"name": "open_clip:small", "config": config}, Preprocessing.named(16, "half"), 0)

    class Net(nn.Module):
        preprocessing = encoder.preprocessing

        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head = encoder, nn.Linear(16, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.encoder.features(images, [2])[2].mean(dim=(2, 3))).softmax(1)

    model, images = Net().eval(), torch.randn(4, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(Running(model, "fp32", compiled=True)(images), model(images), atol=1e-6, rtol=0)
