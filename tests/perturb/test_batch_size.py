"""The trial for the best batch: what it picks, and that it is made once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ala.perturb import batch_size, best_batch, target_scores
from tests.perturb.test_perturb import CPU, Columns, Numbered


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "_found", {})
    monkeypatch.delenv("DVC_ROOT", raising=False)


def timed(monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float]) -> list[int]:
    """Let a call with b images take seconds[b]; the sizes that were tried."""
    tried: list[int] = []

    def took(score: object, images: Tensor, device: object) -> float:
        tried.append(len(images))
        if len(images) not in seconds:
            raise torch.OutOfMemoryError
        return seconds[len(images)]

    monkeypatch.setattr(batch_size, "_seconds", took)
    return tried


def test_the_smallest_of_the_fastest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = timed(monkeypatch, {1: 1, 2: 1.1, 4: 1.3, 8: 2.6, 16: 5.19, 32: 11})
    assert best_batch(nn.Linear(2, 2), 4, CPU) == 4
    assert tried == [1, 2, 4, 8, 16]


def test_a_trial_ends_where_memory_does(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, {1: 1, 2: 1, 4: 1})
    assert best_batch(nn.Linear(2, 2), 4, CPU) == 4


def test_one_trial_per_model_and_size(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    tried = timed(monkeypatch, {1: 1.0})
    net = nn.Linear(2, 2)
    assert best_batch(net, 4, CPU) == best_batch(net.forward, 4, CPU) == 1  # a bound method is its owner
    assert tried == [1, 2]
    best_batch(nn.Linear(2, 3), 4, CPU)
    best_batch(net, 8, CPU)
    assert len(tried) == 6
    assert "at 8 x 8, fp32, cpu" in capsys.readouterr().out


def test_the_answer_is_kept_for_other_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    tried = timed(monkeypatch, {1: 1, 2: 1})
    net = nn.Linear(2, 2)
    best_batch(net, 4, CPU)
    kept = json.loads((tmp_path / "state/batch-sizes.json").read_text())
    assert list(kept.values()) == [2]
    before = len(tried)
    monkeypatch.setattr(batch_size, "_found", {})  # another process
    assert best_batch(net, 4, CPU) == 2
    assert len(tried) == before
    (tmp_path / "state/batch-sizes.json").write_text("{")
    monkeypatch.setattr(batch_size, "_found", {})
    assert best_batch(net, 4, CPU) == 2
    assert len(tried) > before


def test_auto_gives_the_same_scores() -> None:
    targets = np.array([0, 1, 2])
    found = target_scores(Columns(), targets, Numbered(9), "auto", CPU, "test")
    np.testing.assert_array_equal(found, target_scores(Columns(), targets, Numbered(9), 5, CPU, "test"))
