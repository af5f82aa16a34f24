"""What the benchmark of start-up times requests, and that it ends a process at its first forward pass."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ala.utils.errors import UserError
from benchmarks.startup import STARTED, UNTIL_FIRST_FORWARD, commands, seconds
from tests.imports import dvc_stages

STAGES = dvc_stages()


def test_every_stage_that_calls_a_network_is_started():
    seeded = {name for name, stage in STAGES.items() if stage["seeded"]}
    others = {"train_abn", "extend", "methods", "foreign"}  # the commands of others, or no network
    assert seeded - STARTED.keys() == others
    for stage in STARTED:
        assert f"python -m stages.{stage} " in STAGES[stage]["cmd"] + " "


def test_every_command_has_a_limit_and_writes_nowhere_else():
    found = commands("/elsewhere")
    assert {f"stages.{stage} --help" for stage in ("data", "plan", "report", "train")} <= found.keys()
    assert all(limit in (0.5, 3, 4, 5) for limit, _ in found.values())
    assert "/elsewhere" in found["train, to the first forward pass"][1]


def test_a_process_ends_at_its_first_forward_pass(tmp_path):
    (tmp_path / "module.py").write_text(
        "import sys\nimport torch\nprint(sys.argv[1:], flush=True)\n"
        "torch.nn.Identity()(torch.zeros(1))\nprint('late')\n"
    )
    command = [sys.executable, "-c", UNTIL_FIRST_FORWARD, "module", "--seed", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "['--seed', '0']")


def test_a_command_that_fails_is_reported(tmp_path):
    with pytest.raises(UserError, match="run that first"):
        seconds([sys.executable, "-c", "raise SystemExit(3)"], str(tmp_path))
