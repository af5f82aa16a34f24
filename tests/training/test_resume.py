"""A variant's training that was killed in any epoch and goes on ends in the bytes of one that ran through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ala.config.schema import Lora
from ala.training.variant import Trained, train_variant
from ala.utils.checkpoint import Checkpoint
from tests.training.toys import Killed, bytes_of, epochs_of, watch

FULL = "aea-true-sbn-true"


def run(variant: str, profile: Any, encoder: Any, train: Any, val: Any, root: Path | None) -> Trained:
    settings = {"variant": variant, **profile.model_dump(mode="json", include={"ala", "abn", "train"})}
    checkpoint = Checkpoint.of("t", settings, root=root) if root is not None else None
    return train_variant(variant, profile, encoder, train, val, 3, 0, log=lambda line: None, checkpoint=checkpoint)


@pytest.mark.parametrize("epoch", [1, 2])  # an on epoch and an off epoch of AEA
@pytest.mark.parametrize("variant", [FULL, "abn", "lora", "bf16"])
def test_it_goes_on_bit_by_bit(variant, epoch, profile, encoder, clip_vit, train, val, tmp_path, monkeypatch):
    if variant == "lora":
        encoder, variant = clip_vit, FULL
        ala = profile.ala.model_copy(update={"lora": Lora(block=1, rank=2, alpha=4.0)})
        sbn = ala.sbn.model_copy(update={"fusion_map": [(0, 0), (1, 1)]})
        perception = ala.perception.model_copy(update={"feature_layer": 2})
        profile = profile.model_copy(update={"ala": ala.model_copy(update={"sbn": sbn, "perception": perception})})
    if variant == "bf16":
        variant = FULL
        profile = profile.model_copy(update={"train": profile.train.model_copy(update={"precision": "bf16"})})
    unbroken = run(variant, profile, encoder, train, val, None)
    with monkeypatch.context() as patch:
        watch(patch, lambda setting, *place: place == (epoch, 1))
        with pytest.raises(Killed):
            run(variant, profile, encoder, train, val, tmp_path)
    torch.manual_seed(99)  # what other work left in the global generator
    begun = watch(monkeypatch)
    again = run(variant, profile, encoder, train, val, tmp_path)
    assert epochs_of(begun) == list(range(epoch, 4))
    assert bytes_of(again.model.adapter) == bytes_of(unbroken.model.adapter)
    assert (again.curve, again.epoch) == (unbroken.curve, unbroken.epoch)


def test_a_finished_training_is_not_repeated_and_needs_no_images(profile, encoder, train, val, tmp_path, monkeypatch):
    first = run(FULL, profile, encoder, train, val, tmp_path)
    encoder.encoded = 0
    begun = watch(monkeypatch)
    again = run(FULL, profile, encoder, train, val, tmp_path)
    assert (begun, encoder.encoded) == ([], 0)
    assert bytes_of(again.model) == bytes_of(first.model)


def test_other_settings_begin_again(profile, encoder, train, val, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        watch(patch, lambda setting, *place: place == (2, 0))
        with pytest.raises(Killed):
            run(FULL, profile, encoder, train, val, tmp_path)
    begun = watch(monkeypatch)
    changed = profile.model_copy(update={"train": profile.train.model_copy(update={"lr": 1e-3})})
    run(FULL, changed, encoder, train, val, tmp_path)
    assert epochs_of(begun) == [0, 1, 2, 3]
