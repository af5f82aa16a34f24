"""A pre-training that was killed in any epoch and goes on ends in the bytes of one that ran through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import ala.encoders.pretrain
from ala.config.schema import Pretrain
from ala.contracts.preprocessing import Preprocessing
from ala.encoders.pretrain import pretrain
from ala.utils.checkpoint import Checkpoint
from ala.utils.errors import UserError
from tests.encoders.test_pretrain import pairs
from tests.training.toys import Killed, bytes_of, epochs_of, watch

N, BATCH, EPOCHS = 20, 8, 3  # three steps an epoch, the last one shorter


def run(config: dict[str, Any], root: Path | None, lr: float = 3e-3) -> dict[str, bytes]:
    settings = Pretrain(pairs=N, epochs=EPOCHS, batch=BATCH, lr=lr, weight_decay=0.05, seed=0)
    checkpoint = Checkpoint.of("encoder", settings.model_dump(), root=root) if root is not None else None
    size = Preprocessing.named(16, "clip")
    return bytes_of(pretrain(config, size, settings, *pairs(N), more_texts=["a"], checkpoint=checkpoint)[0])


@pytest.mark.parametrize("killed", [(0, 2), (1, 0), (2, 2)])
def test_it_goes_on_bit_by_bit(tiny_config, tmp_path, monkeypatch, killed):
    unbroken = run(tiny_config, None)
    with monkeypatch.context() as patch:
        watch(patch, lambda setting, *place: place == killed)
        with pytest.raises(Killed):
            run(tiny_config, tmp_path)
    torch.manual_seed(99)  # what other work left in the global generator
    begun = watch(monkeypatch)
    assert run(tiny_config, tmp_path) == unbroken
    assert epochs_of(begun) == list(range(killed[0], EPOCHS))


def test_a_finished_one_is_not_repeated_but_with_other_settings(tiny_config, tmp_path, monkeypatch):
    first = run(tiny_config, tmp_path)
    begun = watch(monkeypatch)
    assert run(tiny_config, tmp_path) == first
    assert begun == []
    assert run(tiny_config, tmp_path, lr=1e-3) != first
    assert len(begun) == 9


def test_a_loss_that_is_no_number_stops_with_its_place(tiny_config, monkeypatch):
    real = ala.encoders.pretrain.contrastive_loss
    monkeypatch.setattr(ala.encoders.pretrain, "contrastive_loss", lambda *args: real(*args) * float("inf"))
    message = r"pre-training: the loss is inf in epoch 0, batch 0 \(images \d+(, \d+){7}\); lower encoder.pretrain.lr"
    with pytest.raises(UserError, match=message):
        run(tiny_config, None)
