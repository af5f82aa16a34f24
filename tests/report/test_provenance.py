"""Where numbers come from: stable for one run, and without host, user or path."""

from __future__ import annotations

import getpass
import json
import platform
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ala.report import captions
from ala.report.gather import gather
from ala.report.provenance import footer, record
from ala.utils.files import write_json
from tests.report.fake_run import SIZE


@pytest.fixture
def found(fake):
    run = gather(fake.settings, fake.folder / "scores", fake.folder / "models", fake.folder / "data")
    folders = [fake.folder / name for name in ("models", "maps", "scores")]
    return run, lambda root: record(run, fake.folder / f"data/image_cache/{SIZE}", *folders, root)


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_the_commit_is_the_last_one_of_code_or_settings(found, tmp_path):
    _, make = found
    assert make(tmp_path)["results"]["commit"] is None  # no repository
    git(tmp_path, "init", "-q")
    (tmp_path / "ala").mkdir()
    (tmp_path / "ala/a.py").write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "code")
    code = git(tmp_path, "rev-parse", "HEAD").strip()
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/report.md").write_text("made from it\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "report")
    results = make(tmp_path)["results"]
    assert (results["commit"], results["dirty"]) == (code, False)
    (tmp_path / "ala/a.py").write_text("2\n")
    assert make(tmp_path)["results"]["dirty"] is True
    assert ", with changes that are not committed: ala/a.py\n" in footer(found[0], make(tmp_path))


def test_what_was_used_is_what_the_stages_wrote(found, tmp_path, monkeypatch):
    """Whatever the machine is on which the report is made."""
    run, make = found
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    torch.set_num_threads(1)
    results, text = make(tmp_path)["results"], footer(run, make(tmp_path))
    assert "device" not in results
    assert "precision" not in results
    wanted = "fp32 on cpu, 2 threads, batch 64"
    assert set(results["used"]) == {"trained", "explained", "evaluated"}
    assert results["used"]["evaluated"]["rise"] == results["used"]["trained"]["abn"] == wanted
    assert f"- evaluated, all methods: {wanted}\n" in text
    assert "cuda" not in text
    for seed in run.settings.seeds:
        gpu = {"precision": "bf16", "device": "cuda", "gpu": "NVIDIA H200"}
        run.summaries["abn", seed] = {"used": run.summaries["abn", seed]["used"] | gpu}
    text = footer(run, make(tmp_path))
    assert f"- evaluated, methods differ: {wanted}: `aea-true-sbn-true`, `fcam`, `rise`" in text
    assert "; bf16 on cuda (NVIDIA H200), 2 threads, batch 64: `abn`\n" in text


def test_nothing_tells_of_the_machine(found, fake, tmp_path):
    run, make = found
    profile, settings = found[0].settings.profile, found[0].settings.active.model_dump(mode="json")
    entry = {"stage": "train@0", "seconds": 2.5, "forwards": 10, "profile": profile, "settings": settings}
    write_json(tmp_path / f"state/ledger/{profile}/train@0.json", entry)
    write_json(tmp_path / "state/ledger/other/train@0.json", {**entry, "profile": "other"})
    content = make(tmp_path)
    text = json.dumps(content) + footer(run, content)
    for secret in (str(fake.folder), str(tmp_path), str(Path.home()), platform.node()):
        assert secret not in text
    if len(getpass.getuser()) > 4:  # "root" could be in a word
        assert getpass.getuser() not in text
    assert content["cost"] == {"train@0": {"seconds": 2.5, "forwards": 10, "out_bytes": 0}}
    assert content["settings"] == settings


def test_every_model_map_and_score_has_its_hash(found, tmp_path):
    _, make = found
    results = make(tmp_path)["results"]
    assert len(results["maps_and_scores"]["fcam/seed-1"]) == 2
    assert len(results["models"]["abn/seed-0"]["weights/weights.safetensors"]) == 64
    assert results["encoder_sha256"] == "e" * 64
    assert {"test-images.npy", "test-masks.npy", "train-images.npy"} <= results["data_sha256"].keys()
    assert make(tmp_path) == make(tmp_path)


def test_images_that_were_left_out_are_counted_and_named(found):
    run, _ = found
    assert "Left out" not in captions.what_was_run(run)
    some = replace(run, data=run.data | {"excluded": 2, "excluded_ids": [17, 204]})
    assert "Left out of the data set (`data.exclude`): 2, by id 17, 204." in captions.what_was_run(some)


def test_provenance_names_images_that_were_left_out(found, fake, tmp_path):
    run = replace(found[0], data=found[0].data | {"excluded": 2, "excluded_ids": [17, 204]})
    folders = [fake.folder / name for name in ("models", "maps", "scores")]
    content = record(run, tmp_path, *folders, tmp_path)
    assert content["results"]["data"]["excluded_ids"] == [17, 204]
