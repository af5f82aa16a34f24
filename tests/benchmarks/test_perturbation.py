"""The engine's benchmark: the plan of its time, its clock, and its lines on a model that costs next to nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from typer import Typer
from typer.testing import CliRunner

from ala.contracts.preprocessing import Preprocessing
from ala.perturbation import target_scores
from benchmarks.engine import budget, jobs, paired, peers
from benchmarks.engine.budget import Pace, paces, turns
from benchmarks.engine.jobs import Job
from benchmarks.engine.paired import measured
from benchmarks.perturbation import main, rows_of

CPU = torch.device("cpu")
COLUMNS = ["job", "model", "images", "implementation", "device", "precision", "forwards", "efficiency",
           "efficiency_min", "efficiency_max", "peak_memory_mb", "agreement"]  # fmt: skip


class Cheap(nn.Module):
    """Takes the place of a timm network."""

    preprocessing = Preprocessing.named(jobs.IMAGE_SIZE, "imagenet")

    def __init__(self, name: str = "", device: torch.device = CPU) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.head = nn.Conv2d(3, 4, 32, stride=32), nn.Linear(4, jobs.CLASSES)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.patches(images).mean(dim=(2, 3))).softmax(1)


def seconds_of(plan: dict[str, Pace], cells: int) -> float:
    return budget.TURNS * cells * sum(pace.seconds for pace in plan.values())


def test_the_plan_fits_and_one_step_more_would_not() -> None:
    rates, batches = {"small": 62.0, "large": 4.0}, {"small": 16, "large": 8}
    found = paces(rates, batches, 4, 36, 780)
    assert found == {"small": Pace(62.0, 16, 32), "large": Pace(4.0, 4, 8)}
    assert seconds_of(found, 36) <= 780
    assert seconds_of(found | {"small": Pace(62.0, 16, 64)}, 36) > 780
    assert seconds_of(found | {"large": Pace(4.0, 8, 16)}, 36) > 780


def test_a_fast_machine_has_as_many_steps_as_there_are() -> None:
    found = paces({"one": 9000.0}, {"one": 512}, 0, 36, 780)
    assert found == {"one": Pace(9000.0, 512, budget.MOST_STEPS)}
    assert (found["one"].job, found["one"].bare) == (512, 512)
    assert turns([found["one"]] * 36, 780) == budget.MOST_TURNS


def test_a_slow_machine_has_the_least() -> None:
    assert paces({"one": 0.1}, {"one": 8}, 4, 36, 780) == {"one": Pace(0.1, 4, budget.LEAST_STEPS)}
    assert turns([Pace(0.1, 4, 4)] * 36, 780) == turns([Pace(0.1, 4, 4)], -5) == budget.TURNS


def test_turns_fill_what_is_left() -> None:
    pace = Pace(10.0, 4, 8)
    assert (pace.job, pace.bare) == (8, 4)
    assert pace.seconds == pytest.approx((8 / 0.85 + 4) / 10)
    assert turns([pace] * 10, 10 * 7.5 * pace.seconds) == 7


class Clock:
    """Time that passes only when it is made to."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        patch.setattr(paired.time, "perf_counter", lambda: self.now)


class Slow(Cheap):
    """A model that takes one second of the test's clock for each image."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def forward(self, images: Tensor) -> Tensor:
        self._clock.now += len(images)
        return super().forward(images)


def test_what_is_done_before_and_after_is_shared_out_among_the_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setattr(paired, "in_lanes", lambda score, images: score(images))
    seen = []

    def run(model: nn.Module) -> int:
        clock.now += 6  # ranks its images
        for _ in range(4):
            seen.append(model(torch.ones(2, 3, jobs.IMAGE_SIZE, jobs.IMAGE_SIZE)))
            clock.now += 1  # between its forward passes
        clock.now += 1  # sums up; the second after the last forward pass counts here, too
        return len(seen)

    found, facts = measured(run, Slow(clock), 4, 2, 3, CPU)
    assert found == 4  # of the first of two runs
    assert (facts["forwards"], facts["turns"]) == (16, 4)
    assert facts["efficiency_min"] < facts["efficiency"] < facts["efficiency_max"]
    # Of 16 seconds of forward passes and 24 others, the second after the last one of a turn belongs to the next turn.
    each = [4 / (4 + own + 4 * (6 + 2) / 8) for own in (1, 2, 1, 2)]
    assert facts["efficiency"] == pytest.approx(np.median(each))
    assert facts["efficiency_min"] == pytest.approx(min(each))


@pytest.mark.parametrize("whole", [False, True])
def test_the_engine_predicts_alike_for_all_classes_after_its_last_turn(whole: bool) -> None:
    class PerturbedImages:
        image_size, count = jobs.IMAGE_SIZE, 8

        def fill(self, index: int, start: int, stop: int, out: Tensor) -> None:
            out[:] = index + 1

    found, facts = measured(
        lambda model: target_scores(model, np.zeros(5, int), PerturbedImages(), 4, CPU, "test"), Cheap(), 8, 4, 3, CPU,
        engine=True, whole=whole,
    )  # fmt: skip
    alike = np.isclose(found, 1 / jobs.CLASSES, rtol=1e-6).all(axis=1)
    assert alike.tolist() == [False] * 3 + [not whole] * 2
    assert (facts["forwards"], facts["turns"]) == ((40, 5) if whole else (24, 3))


@pytest.mark.parametrize("kind", jobs.JOBS)
@pytest.mark.parametrize("images", [1, 3, 16])
def test_our_results_are_those_of_the_plain_port(kind: str, images: int) -> None:
    job, model = Job(kind, images, 8, 4, CPU), Cheap()
    lines = {(line["implementation"], line["precision"]): line for line in rows_of(job, model, 5, [], bf16=True)}
    assert list(lines) == [("plain", "fp32"), ("ala", "fp32"), ("ala", "bf16")]
    assert lines["ala", "fp32"]["agreement"] < 1e-6
    assert lines["ala", "bf16"]["agreement"] < 1e-3
    for line in lines.values():
        assert 0 < line["efficiency_min"] <= line["efficiency"] <= line["efficiency_max"]
        assert line["forwards"] >= 5 * (4 if images == 1 else 7)


def test_lines_are_written_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "Model", Cheap)
    monkeypatch.setattr(peers, "installed", lambda name: "not requested")
    monkeypatch.setattr(budget, "MOST_STEPS", 8)
    lengths, to_csv = [], pd.DataFrame.to_csv
    monkeypatch.setattr(
        pd.DataFrame, "to_csv", lambda self, *args, **kwargs: (lengths.append(len(self)), to_csv(self, *args, **kwargs))
    )
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- generated: engine -->\nold\n<!-- end generated -->\nafter\n")
    app = Typer()
    app.command()(main)
    options = ["--budget", "4", "--model", "any", "--images", "1", "--images", "2", "--batch", "4", "--device", "cpu"]
    found = CliRunner().invoke(app, [*options, "--out", str(tmp_path), "--page", str(page)], catch_exceptions=False)
    assert found.exit_code == 0
    assert lengths == list(range(1, 13))
    assert "0 to go] deletion, any, images: 2, ala fp32" in found.output
    table = pd.read_csv(next(tmp_path.glob("cpu-*-perturbation.csv")))
    assert table.columns.tolist() == COLUMNS
    assert table["implementation"].tolist() == ["ala", "plain"] * 6
    assert "any: 8 masks or steps an image (32 where it is the only one), 4 images a forward pass" in page.read_text()
    assert "old" not in page.read_text()
