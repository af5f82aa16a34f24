"""What models were run with, as their stages wrote it: by method, and where methods differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ala.config import load
from ala.report.used import collect, lines
from ala.utils.files import write_json

METHODS, SEEDS = ["abn", "fcam", "rise", "box"], [0, 1]
CPU: dict[str, Any] = {"precision": "fp32", "device": "cpu", "gpu": None, "threads": 2, "batch": 64}
GPU: dict[str, Any] = {"precision": "bf16", "device": "cuda", "gpu": "NVIDIA H200", "threads": 16, "batch": 64}
ON_CPU, ON_GPU = "fp32 on cpu, 2 threads, batch 64", "bf16 on cuda (NVIDIA H200), 16 threads, batch 64"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run in which everything was made alike."""
    for seed in SEEDS:
        place = f"seed-{seed}"
        write_json(tmp_path / f"models/abn/{place}/model.json", {"used": CPU})
        write_json(tmp_path / f"models/fcam/{place}/model.json", {"used": {"classifier": CPU, "decoder": CPU}})
        for method in METHODS:
            own = f"{method}/{place}/{method}"
            write_json(tmp_path / f"maps/{own}/used.json", {"used": None if method == "box" else CPU})
            write_json(tmp_path / f"scores/{own}/summary.json", {"model": "m", "used": CPU})
        write_json(tmp_path / f"scores/edge/{place}/summary.json", {"model": "m", "used": CPU})
        layer = {"used": CPU, "used_in_training": CPU}
        write_json(tmp_path / f"scores/layers/{place}/summary.json", {"abn-layer-0": layer})
    write_json(tmp_path / "models/encoder/metrics.json", {"used": CPU, "used_in_training": CPU})
    write_json(tmp_path / "models/stale/seed-0/model.json", {"used": GPU})  # of no method of the run
    return tmp_path


def found(run: Path) -> dict[str, dict[str, str]]:
    settings = load("params.yaml").model_copy(update={"methods": METHODS, "seeds": SEEDS, "ablations": []})
    return collect(run / "models", run / "maps", run / "scores", settings)


def test_one_name_each_where_all_is_alike(run: Path) -> None:
    assert found(run) == {
        "trained": dict.fromkeys(["abn", "fcam", "encoder", "layers"], ON_CPU),
        "explained": dict.fromkeys(["abn", "fcam", "rise"], ON_CPU),
        "evaluated": dict.fromkeys(["abn", "fcam", "rise", "box", "layers", "edge", "encoder"], ON_CPU),
    }
    assert lines(found(run)) == [f"- {kind}, all methods: {ON_CPU}" for kind in ("trained", "explained", "evaluated")]


def test_a_seed_a_part_and_a_method_that_differ_are_named(run: Path) -> None:
    write_json(run / "models/abn/seed-1/model.json", {"used": GPU})
    write_json(run / "models/fcam/seed-0/model.json", {"used": {"classifier": CPU, "decoder": GPU}})
    write_json(run / "models/fcam/seed-1/model.json", {"used": {"classifier": CPU, "decoder": GPU}})
    for seed in SEEDS:
        write_json(run / f"scores/rise/seed-{seed}/rise/summary.json", {"used": GPU})
    told = found(run)
    assert told["trained"] == {
        "abn/seed-0": ON_CPU, "abn/seed-1": ON_GPU, "fcam/classifier": ON_CPU, "fcam/decoder": ON_GPU,
        "encoder": ON_CPU,
    }  # fmt: skip
    trained, explained, evaluated = lines(told)
    assert trained == (
        f"- trained, methods differ: {ON_CPU}: `abn/seed-0`, `fcam/classifier`, `encoder`; {ON_GPU}: `abn/seed-1`,"
        " `fcam/decoder`"
    )
    assert explained == f"- explained, all methods: {ON_CPU}"
    assert evaluated.endswith(f"; {ON_GPU}: `rise`")


def test_what_is_not_recorded_is_called_so_and_never_filled_in(run: Path) -> None:
    write_json(run / "scores/abn/seed-0/abn/summary.json", {"model": "abn"})
    write_json(run / "models/abn/seed-0/model.json", {"precision": "fp32"})  # of an older version
    (run / "maps/rise/seed-0/rise/used.json").unlink()
    (run / "models/encoder/metrics.json").write_text("{")
    told = found(run)
    assert told["evaluated"]["abn/seed-0"] == told["trained"]["abn/seed-0"] == "not recorded"
    assert told["explained"]["rise/seed-0"] == told["evaluated"]["encoder"] == "not recorded"
