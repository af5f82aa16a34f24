"""What models were run with, as their stages wrote it: by method, and where methods differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ala.report.run import Run
from ala.report.used import collect, lines
from ala.utils.files import write_json
from tests.report.conftest import changed

METHODS, SEEDS = ["abn", "fcam", "rise", "box"], [0, 1]
CPU: dict[str, Any] = {"precision": "fp32", "device": "cpu", "gpu": None, "threads": 2, "batch": 64}
GPU: dict[str, Any] = {"precision": "bf16", "device": "cuda", "gpu": "NVIDIA H200", "threads": 16, "batch": 64}
ON_CPU, ON_GPU = "fp32 on cpu, 2 threads, batch 64", "bf16 on cuda (NVIDIA H200), 16 threads, batch 64"


@pytest.fixture
def run(tmp_path: Path, run_of: Any) -> Run:
    """A run in which everything was made alike."""
    run = changed(run_of(), methods=METHODS, seeds=SEEDS)
    for seed in SEEDS:
        place = f"seed-{seed}"
        write_json(tmp_path / f"models/abn/{place}/model.json", {"used": CPU})
        write_json(tmp_path / f"models/fcam/{place}/model.json", {"used": {"classifier": CPU, "decoder": CPU}})
        for row in run.rows:
            made_with = None if row.kind == "baseline" else CPU
            write_json(tmp_path / f"maps/{row.folder(seed)}/used.json", {"used": made_with})
            run.summaries[row.method, seed] = {"used": CPU}
        write_json(tmp_path / f"scores/edge/{place}/summary.json", {"model": "m", "used": CPU})
        write_json(tmp_path / f"scores/layers/{place}/summary.json", {"one": {"used": CPU, "used_in_training": CPU}})
    write_json(tmp_path / "models/encoder/metrics.json", {"used": CPU, "used_in_training": CPU})
    write_json(tmp_path / "models/stale/seed-0/model.json", {"used": GPU})  # of no method of the run
    return run


def found(run: Run, folder: Path) -> dict[str, dict[str, str]]:
    return collect(run, folder / "models", folder / "maps", folder / "scores")


def test_one_name_each_where_all_is_alike(run: Run, tmp_path: Path) -> None:
    seen = found(run, tmp_path)
    assert {kind: set(names) for kind, names in seen.items()} == {
        "trained": {"abn", "fcam/classifier", "fcam/decoder", "layers/one", "encoder"},
        "explained": {"abn", "fcam", "rise"},
        "evaluated": {"abn", "fcam", "rise", "box", "layers/one", "edge", "encoder"},
    }
    assert lines(seen) == [f"- {kind}, all methods: {ON_CPU}" for kind in ("trained", "explained", "evaluated")]


def test_a_seed_a_part_and_a_method_that_differ_are_named(run: Run, tmp_path: Path) -> None:
    write_json(tmp_path / "models/abn/seed-1/model.json", {"used": GPU})
    for seed in SEEDS:
        write_json(tmp_path / f"models/fcam/seed-{seed}/model.json", {"used": {"classifier": CPU, "decoder": GPU}})
        run.summaries["rise", seed] = {"used": GPU}
    trained, explained, evaluated = lines(found(run, tmp_path))
    assert trained.startswith(f"- trained, methods differ: {ON_CPU}: `abn/seed-0`, `fcam/classifier`")
    assert trained.endswith(f"; {ON_GPU}: `fcam/decoder`, `abn/seed-1`")
    assert explained == f"- explained, all methods: {ON_CPU}"
    assert evaluated.endswith(f"; {ON_GPU}: `rise`")


def test_what_is_not_recorded_is_called_so_and_never_filled_in(run: Run, tmp_path: Path) -> None:
    run.summaries["abn", 0] = {"model": "abn"}
    write_json(tmp_path / "models/abn/seed-0/model.json", {"precision": "fp32"})  # of an older version
    (tmp_path / "maps" / run.rows["rise"].folder(0) / "used.json").unlink()
    (tmp_path / "models/encoder/metrics.json").write_text("{")
    seen = found(run, tmp_path)
    assert seen["evaluated"]["abn/seed-0"] == seen["trained"]["abn/seed-0"] == "not recorded"
    assert seen["explained"]["rise/seed-0"] == seen["evaluated"]["encoder"] == "not recorded"
