from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from ala.config import Profile
from ala.config.schema import Lora
from ala.encoders import Encoder
from ala.model.adapter import Adapter
from ala.model.blueprint import VARIANTS, plan
from ala.model.lora import LoraEncoder
from ala.training import loop
from ala.training.features import CachedSource
from ala.training.loop import Epoch, run_epoch
from ala.training.variant import CURVE, Trained, Work, train_variant, validate
from ala.utils.errors import UserError
from tests.training.settings import Schedule
from tests.training.toys import OUT_OF_MEMORY, fail_in_backward

FULL = "aea-true-sbn-true"
CPU = torch.device("cpu")


def trained(
    variant: str, profile: Profile, encoder: Any, train: Any, val: Any, seed: int = 0, **changes: Any
) -> Trained:
    settings = profile.train.model_copy(update=changes)
    return train_variant(
        variant, profile.model_copy(update={"train": settings}), encoder, train, val, 3, seed, log=lambda line: None
    )


class Parts:
    """An adapter with its optimisers and images, as the loop holds them."""

    def __init__(self, profile: Profile, encoder: Any, train: Any, variant: str = FULL) -> None:
        blueprint = plan(
            variant,
            profile.ala,
            profile.abn,
            feature_channels=encoder.feature_channels,
            grid=4,
            input_size=16,
            classes=3,
        )
        self.adapter = Adapter(blueprint, seed=0)
        self.source = CachedSource(encoder, train, blueprint.features, 0.5, CPU)
        settings = profile.train.model_copy(update={"lr": 1e-2})
        work = Work(self.adapter, settings, 1 / 15, 0, lambda: (self.source, self.source))
        work.prepare()
        self.task = work.task("test", [], train.image_ids)
        self.resting_optimiser = self.task.parts[1].optimiser

    def epoch(self, index: int, on: bool) -> None:
        run_epoch(self.task, Epoch(index, on))

    def resting(self) -> list[torch.nn.Parameter]:
        return [*self.adapter.side.parameters(), *self.adapter.attention.parameters()]


@pytest.fixture
def parts(profile: Profile, encoder: Any, train: Any) -> Parts:
    return Parts(profile, encoder, train)


# --- AEA's off epoch -------------------------------------------------------------------------------------------------


def test_off_epoch_never_calls_the_resting_branches(parts: Parts) -> None:
    calls: Counter[str] = Counter()
    for name in ("side", "attention", "perception"):
        getattr(parts.adapter, name).register_forward_hook(lambda m, i, o, name=name: calls.update([name]))
    parts.epoch(0, on=False)
    assert calls == {"perception": 3}
    parts.epoch(1, on=True)
    assert calls == {"perception": 6, "side": 3, "attention": 3}


def test_off_epoch_moves_neither_weights_nor_buffers_nor_optimiser_state(parts: Parts) -> None:
    """After an on epoch there is momentum and weight decay to move them by; perception moves all the while."""
    parts.epoch(0, on=True)
    state = copy.deepcopy(parts.resting_optimiser.state_dict()["state"])
    assert len(state) == len(parts.resting())
    assert all(entry["exp_avg"].any() and entry["step"] == 3 for entry in state.values())
    kept = {n: t.clone() for n, t in parts.adapter.state_dict().items()}
    parts.epoch(1, on=False)
    after = parts.resting_optimiser.state_dict()["state"]
    for index, entry in state.items():
        for name in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(after[index][name], entry[name])
    for name, tensor in parts.adapter.state_dict().items():
        rests = name.startswith(("side.", "attention."))
        assert torch.equal(tensor, kept[name]) == rests, name
    parts.epoch(2, on=True)
    assert all(entry["step"] == 6 for entry in parts.resting_optimiser.state_dict()["state"].values())


def test_a_zero_gradient_would_have_moved_them(parts: Parts) -> None:
    """Why None matters: AdamW moves a parameter with gradient 0 by momentum and weight decay (METHODS 2.6)."""
    parts.epoch(0, on=True)
    before = parts.adapter.side.embed.weight.detach().clone()
    for parameter in parts.resting():
        parameter.grad = torch.zeros_like(parameter)
    parts.resting_optimiser.step()
    assert not torch.equal(parts.adapter.side.embed.weight, before)


def test_off_epoch_reads_the_feature_layer_only(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[list[int]] = []
    batch = parts.source.batch
    monkeypatch.setattr(
        parts.source, "batch", lambda indices, features, g: wanted.append(list(features)) or batch(indices, features, g)
    )
    parts.epoch(0, on=False)
    parts.epoch(1, on=True)
    assert wanted == [[3]] * 3 + [[0, 1, 3]] * 3


# --- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_on_epochs_are_validated_and_kept(
    profile: Profile, encoder: Any, train: Any, val: Any, variant: str
) -> None:
    result = trained(variant, profile, encoder, train, val, epochs=5)
    on = [row["epoch"] for row in result.curve if row["phase"] == "on"]
    assert on == ([1, 3] if variant.startswith("aea-true") else [0, 1, 2, 3, 4])
    assert result.epoch in on
    assert result.chosen["phase"] == "on"
    for row in result.curve:
        assert list(row) == CURVE
        assert (row["val_loss"] is not None) == (row["phase"] == "on")
        assert row["val_miou"] is None  # nobody diagnosed
    assert result.chosen["val_loss"] == min(row["val_loss"] for row in result.curve if row["phase"] == "on")


@pytest.mark.parametrize("criterion", ["val_loss", "val_accuracy", "last"])
def test_the_kept_state_is_that_of_the_chosen_epoch(
    profile: Profile, encoder: Any, train: Any, val: Any, criterion: str
) -> None:
    """A high learning rate makes epochs differ; validating the kept state again gives the chosen row."""
    result = trained(FULL, profile, encoder, train, val, epochs=9, lr=0.03, criterion=criterion)
    on = [row for row in result.curve if row["phase"] == "on"]
    if criterion == "val_accuracy":
        assert result.chosen == max(on, key=lambda row: (row["val_accuracy_pb_plus_ab"], -row["val_loss"]))
    elif criterion == "last":
        assert result.epoch == 7  # not 8, which is off
    again = validate(result.model.adapter, CachedSource(encoder, val, [0, 1, 3], 0.0, CPU))
    assert again.loss == pytest.approx(result.chosen["val_loss"], rel=1e-5)
    assert again.accuracy_pb == result.chosen["val_accuracy_pb"]
    assert not result.model.adapter.training


def test_diagnosis_enters_the_curve_and_decides_nothing(profile: Profile, encoder: Any, train: Any, val: Any) -> None:
    def diagnose(alpha: np.ndarray, indices: np.ndarray) -> dict[str, float]:
        assert alpha.shape == (18, 4, 4)
        assert alpha.min() >= 0
        assert alpha.max() <= 1
        assert indices.tolist() == list(range(18))
        return {"val_miou": 0.25}

    plain = trained(FULL, profile, encoder, train, val)
    reported = train_variant(FULL, profile, encoder, train, val, 3, 0, diagnose=diagnose, log=lambda line: None)
    assert [row["val_miou"] for row in reported.curve] == [None, 0.25, None, 0.25]
    assert same(plain, reported)


def test_validation_numbers_by_another_way(parts: Parts, encoder: Any, train: Any) -> None:
    got = validate(parts.adapter, parts.source, batch=7)
    images = encoder.preprocessing.normalise(train.pixels(np.arange(48)))
    with torch.no_grad():
        alpha, ab, pb = parts.adapter.eval()(images, encoder.features(images, [0, 1, 3]))
    labels = torch.as_tensor(train.labels)
    logp = (pb + ab).log_softmax(1)
    assert got.loss == pytest.approx(-logp[torch.arange(48), labels].mean().item(), rel=1e-5)
    assert got.accuracy_pb == pytest.approx((pb.argmax(1) == labels).float().mean().item())
    assert got.accuracy_pb_plus_ab == pytest.approx((logp.argmax(1) == labels).float().mean().item())
    np.testing.assert_allclose(got.alpha, alpha[:, 0].numpy(), atol=1e-5)


# --- the run as a whole ----------------------------------------------------------------------------------------------


def same(a: Trained, b: Trained) -> bool:
    x, y = a.model.adapter.state_dict(), b.model.adapter.state_dict()
    return x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x)


@pytest.mark.parametrize("variant", [FULL, "abn"])
def test_same_seed_same_weights(profile: Profile, encoder: Any, train: Any, val: Any, variant: str) -> None:
    first = trained(variant, profile, encoder, train, val, seed=3)
    torch.rand(7)  # whatever was drawn before does not matter
    again = trained(variant, profile, encoder, train, val, seed=3)
    assert same(first, again)
    assert first.curve == again.curve
    assert not same(first, trained(variant, profile, encoder, train, val, seed=4))


def test_an_epoch_is_the_same_whatever_was_drawn_before(profile: Profile, encoder: Any, train: Any) -> None:
    """Order, mirroring and dropout follow from seed and epoch, so that epochs do not hang together by chance."""
    ends = []
    for draws in (0, 5):
        parts = Parts(profile, encoder, train)
        torch.rand(draws)
        parts.epoch(3, on=True)
        ends.append(parts.adapter.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_learns_the_toy_task(profile: Profile, encoder: Any, train: Any, val: Any, variant: str) -> None:
    result = trained(variant, profile, encoder, train, val, epochs=16, lr=1e-2)
    same_phase = [row["train_loss"] for row in result.curve if row["phase"] == "on"]
    assert same_phase[-1] < 0.7 * same_phase[0]
    assert result.chosen["val_accuracy_pb"] > 0.6  # one in three by chance


def test_frozen_encoder_is_not_changed(profile: Profile, encoder: Any, train: Any, val: Any) -> None:
    before = copy.deepcopy(encoder.state_dict())
    trained(FULL, profile, encoder, train, val)
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in encoder.parameters())


def test_kept_and_live_features_train_alike(profile: Profile, encoder: Any, train: Any, val: Any) -> None:
    """Without mirroring the two ways see the same batches."""
    augment = profile.train.augment.model_copy(update={"hflip": 0.0})
    settings = profile.model_copy(update={"train": profile.train.model_copy(update={"augment": augment})})
    kept = train_variant(FULL, settings, encoder, train, val, 3, 0, log=lambda line: None)
    log: list[str] = []
    live = train_variant(FULL, settings, encoder, train, val, 3, 0, cache_bytes=0, log=log.append)
    assert len(log) == 2
    for a, b in zip(kept.curve, live.curve, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-3)


def test_images_augmented_on_the_fly(profile: Profile, encoder: Any, val: Any) -> None:
    from tests.training.settings import Augment

    images = type(val)(24, 20, 2)
    augment = Augment(resize=20, hflip=0.5, blur=0.3, sharpen=0.3)
    result = trained(FULL, profile, encoder, images, val, augment=augment)
    assert len(result.curve) == 4


def test_image_caches_of_another_size_are_refused(profile: Profile, encoder: Any, val: Any) -> None:
    with pytest.raises(
        UserError, match=r"image caches have 20 \(train\) and 16 \(val\) pixels, but the settings need 16"
    ):
        trained(FULL, profile, encoder, type(val)(24, 20, 2), val)


@pytest.mark.parametrize(
    "schedule", [Schedule(first="on"), Schedule(off_epochs=2, on_epochs=1), Schedule(off_epochs=1, on_epochs=2)]
)
def test_schedules_are_followed(profile: Profile, encoder: Any, train: Any, val: Any, schedule: Schedule) -> None:
    settings = profile.model_copy(update={"ala": profile.ala.model_copy(update={"schedule": schedule})})
    result = trained(FULL, settings, encoder, train, val, epochs=4)
    phases = [row["phase"] for row in result.curve]
    assert phases[0] == schedule.first
    assert phases.count("on") >= 1


def test_a_loss_that_is_not_finite_stops_the_run_with_the_images(
    profile: Profile, encoder: Any, train: Any, val: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = CachedSource.batch

    def spoilt(self: CachedSource, indices: np.ndarray, *rest: Any) -> Any:
        found = real(self, indices, *rest)
        if self.image_source is train:
            found.features[3][indices == 7] = float("inf")  # image 107
        return found

    monkeypatch.setattr(CachedSource, "batch", spoilt)
    place = r"the loss is nan in epoch 0, batch \d \(images [\d, ]*\b107\b[\d, ]*\)"
    with pytest.raises(UserError, match=rf"^train {FULL} seed 0: {place}; lower train.lr"):
        trained(FULL, profile, encoder, train, val)


@pytest.mark.parametrize("place", ["backward", "validation"])
def test_too_little_memory(
    profile: Profile, encoder: Any, train: Any, val: Any, place: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Training stops with the setting to lower; validation goes on in halves and gives the same numbers."""
    if place == "backward":
        fail_in_backward(monkeypatch, 4)
        with pytest.raises(UserError, match=r"training step of batch 16 \(CUDA .*; lower train.batch to 8$"):
            trained(FULL, profile, encoder, train, val)
        return
    model = trained(FULL, profile, encoder, train, val).model
    source = CachedSource(encoder, val, [0, 1, 3], 0.0, CPU)
    whole, forward, seen = validate(model.adapter, source), Adapter.forward, list[int]()

    def limited(self: Adapter, images: Any, *rest: Any) -> Any:
        seen.append(len(images))
        if len(images) > 5:
            raise torch.OutOfMemoryError(OUT_OF_MEMORY)
        return forward(self, images, *rest)

    monkeypatch.setattr(Adapter, "forward", limited)
    parts = validate(model.adapter, source)
    assert seen == [18, 9, 4, 4, 4, 4, 2]
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    assert (parts.accuracy_pb, parts.accuracy_pb_plus_ab) == (whole.accuracy_pb, whole.accuracy_pb_plus_ab)
    np.testing.assert_allclose(parts.alpha, whole.alpha, atol=1e-6)
    assert "out of memory with 9 images at a time, going on with 4" in capsys.readouterr().err


# --- LoRA ------------------------------------------------------------------------------------------------------------


def test_lora_trains_in_on_epochs_only(
    profile: Profile, clip_vit: Encoder, train: Any, val: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ala = profile.ala.model_copy(update={"lora": Lora(block=1, rank=2, alpha=4.0)})
    moved: list[tuple[bool, bool]] = []
    real = loop.run_epoch

    def spy(task: Any, epoch: Epoch, *rest: Any) -> Any:
        update = list(task.network["lora"].parameters())
        before = [p.detach().clone() for p in update]
        result = real(task, epoch, *rest)
        changed = [not torch.equal(a, b) for a, b in zip(before, update, strict=True)]
        moved.append((epoch.on, any(changed)))
        assert all(changed) or not any(changed) or epoch.index == 1
        return result

    monkeypatch.setattr(loop, "run_epoch", spy)
    frozen = copy.deepcopy(clip_vit.state_dict())
    result = trained(FULL, profile.model_copy(update={"ala": ala}), clip_vit, train, val)
    assert moved == [(False, False), (True, True), (False, False), (True, True)]
    assert isinstance(result.model.encoder, LoraEncoder)
    assert all(torch.equal(frozen[name], tensor) for name, tensor in clip_vit.state_dict().items())
    inside = result.model.encoder.encoder.state_dict()
    for name, tensor in frozen.items():
        kept = name if name in inside else name.replace("weight", "parametrizations.weight.original")
        assert torch.equal(inside[kept], tensor), name
    assert any(parameter.any() for name, parameter in result.model.encoder.update().items() if name.endswith("up"))
