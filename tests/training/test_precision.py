"""Training in bfloat16, and what of the encoder a training step keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ala.config.schema import Lora
from ala.model.adapter import Adapter
from ala.model.blueprint import VARIANTS, plan
from ala.model.lora import LoraEncoder
from ala.training.features import LiveSource, make_source
from ala.training.loop import Epoch, run_epoch
from ala.training.variant import Trained, Work, train_variant
from ala.utils.errors import UserError

FULL = "aea-true-sbn-true"
CPU = torch.device("cpu")


def trained(variant: str, profile: Any, encoder: Any, train: Any, val: Any, precision: str, **options: Any) -> Trained:
    settings = profile.train.model_copy(update={"precision": precision})
    profile = profile.model_copy(update={"train": settings})
    return train_variant(variant, profile, encoder, train, val, 3, 0, log=lambda line: None, **options)


def bytes_of(one: Trained) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in one.model.adapter.state_dict().values()]


def test_bfloat16_is_refused_on_a_gpu_without_it(profile, encoder, train, val, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA GTX 1080")
    # Emulated bfloat16, which every GPU has, does not count.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    message = "^train.precision is bf16, but NVIDIA GTX 1080 has no bfloat16 in hardware; set it to fp32$"
    with pytest.raises(UserError, match=message):
        trained(FULL, profile, encoder, train, val, "bf16", device="cuda")
    assert encoder.encoded == 0


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_trains_nearly_alike(profile, clip_vit, train, val, variant, cached):
    limit = {"cache_bytes": 2**30 if cached else 0}
    plain, short = (trained(variant, profile, clip_vit, train, val, wanted, **limit) for wanted in ("fp32", "bf16"))
    assert bytes_of(plain) != bytes_of(short)
    for a, b in zip(plain.curve, short.curve, strict=True):
        assert b["train_loss"] == pytest.approx(a["train_loss"], rel=0.05)
        if a["val_loss"] is not None:
            assert b["val_loss"] == pytest.approx(a["val_loss"], rel=0.1)  # of 18 images
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in short.model.adapter.state_dict().values())


def test_bfloat16_learns_the_toy_task(profile, encoder, train, val):
    longer = profile.model_copy(update={"train": profile.train.model_copy(update={"epochs": 16, "lr": 1e-2})})
    result = trained(FULL, longer, encoder, train, val, "bf16")
    assert result.chosen["val_accuracy_pb"] > 0.6  # one in three by chance


@pytest.mark.parametrize("cached", [True, False])
def test_networks_run_in_bfloat16_and_loss_gradients_and_validation_in_float32(
    profile, clip_vit, train, val, cached, monkeypatch
):
    seen: dict[str, set[torch.dtype]] = {"encoder": set(), "training": set(), "validation": set(), "loss": set()}
    clip_vit.network.patch_embed.proj.register_forward_hook(lambda m, i, output: seen["encoder"].add(output.dtype))
    build = Adapter.__init__

    def hooked(self: Adapter, *args: Any) -> None:
        build(self, *args)
        self.perception.register_forward_hook(
            lambda module, i, output: seen["training" if module.training else "validation"].add(output.dtype)
        )

    monkeypatch.setattr(Adapter, "__init__", hooked)
    real, step = nn.functional.cross_entropy, torch.optim.AdamW.step
    monkeypatch.setattr(nn.functional, "cross_entropy", lambda logits, *a, **k: (
        seen["loss"].add(logits.dtype) or real(logits, *a, **k)))  # fmt: skip

    def stepped(self: torch.optim.AdamW) -> None:
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        assert {p.grad.dtype for p in parameters if p.grad is not None} == {torch.float32}
        step(self)
        assert {state["exp_avg"].dtype for state in self.state.values()} == {torch.float32}

    monkeypatch.setattr(torch.optim.AdamW, "step", stepped)
    trained(FULL, profile, clip_vit, train, val, "bf16", cache_bytes=2**30 if cached else 0)
    assert seen["encoder"] == {torch.bfloat16, torch.float32}  # images of the training, of the validation
    assert seen["training"] == {torch.bfloat16}
    assert seen["validation"] == {torch.float32}
    assert seen["loss"] == {torch.float32}


@pytest.mark.parametrize("limit", [2**30, 0])
def test_features_are_handed_on_in_float32(clip_vit, train, limit):
    indices = np.arange(4)
    options = {"fixed": True, "limit": limit, "log": lambda line: None}
    plain, short = (
        make_source(clip_vit, train, [0, 3], None, CPU, precision=one, **options).batch(indices, [0, 3], None)
        for one in ("fp32", "bf16")
    )
    for feature in (0, 3):
        assert short.features[feature].dtype == torch.float32
        assert not torch.equal(short.features[feature], plain.features[feature])
        torch.testing.assert_close(short.features[feature], plain.features[feature], atol=0.05, rtol=0.05)
    assert torch.equal(short.images, plain.images)


# --- what is kept for backward ---------------------------------------------------------------------------------------


@contextmanager
def kept_for_backward() -> Iterator[list[Tensor]]:
    """The tensors that autograd saves inside the block; holding them keeps their memory from being used again."""
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        yield kept


def storages(tensors: list[Tensor]) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


def watched(module: nn.Module) -> list[Tensor]:
    """The outputs of `module` and of all modules in it, as they come."""
    seen: list[Tensor] = []

    def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
        seen.extend(x for x in (output if isinstance(output, tuple) else (output,)) if isinstance(x, Tensor))

    for part in module.modules():
        part.register_forward_hook(note)
    return seen


def step(profile: Any, encoder: Any, train: Any, precision: Any, on: bool = True) -> list[Tensor]:
    """What one epoch on images that are encoded batch by batch keeps for backward."""
    blueprint = plan(
        FULL, profile.ala, profile.abn, feature_channels=encoder.feature_channels, grid=4, input_size=16, classes=3
    )
    adapter = Adapter(blueprint, 0)
    lora = encoder if isinstance(encoder, LoraEncoder) else None
    source = LiveSource(encoder, train, None, CPU, precision)
    settings = profile.train.model_copy(update={"precision": precision})
    work = Work(adapter, settings, 1 / 15, 0, lambda: (source, source))
    work.prepare()
    with kept_for_backward() as kept:
        run_epoch(work.task("test", [], train.image_ids, lora), Epoch(0, on))
    assert kept
    return kept


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nothing_of_the_encoder_is_kept_for_backward(profile, clip_vit, train, precision, on):
    """Beyond the features themselves: of a block, what its attention and its MLP make inside."""
    activations = [watched(part) for block in clip_vit.blocks for part in (block.attn, block.mlp, block.norm1)]
    kept = storages(step(profile, clip_vit, train, precision, on))
    assert sum(map(len, activations)) > 3 * 20  # of 48 images in batches of 16
    for outputs in activations:
        assert all(x.grad_fn is None for x in outputs)
        assert not kept & storages(outputs)
    assert not kept & storages([*clip_vit.parameters(), *clip_vit.buffers()])


def test_with_lora_the_blocks_before_the_update_keep_nothing(profile, clip_vit, train):
    """And those from the update on do, which the test above would see."""
    encoder = LoraEncoder(clip_vit, Lora(block=1, rank=2, alpha=4.0), [0, 1, 3])
    before, after = watched(encoder.encoder.blocks[0].mlp), watched(encoder.encoder.blocks[2].mlp)
    kept = storages(step(profile, encoder, train, "fp32"))
    assert not kept & storages(before)
    assert kept & storages(after)
