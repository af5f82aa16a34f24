from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from ala.contracts.preprocessing import Preprocessing
from ala.encoder import load_encoder, save_encoder, shared_encoder
from ala.encoder.clip_vit import ClipVit, build_visual
from ala.runtime.errors import UserError


def random_vit(config: dict) -> ClipVit:
    return ClipVit(build_visual(config), config, Preprocessing.named(16, "clip"))


def test_models_of_one_process_share_the_encoder_until_its_files_change(tmp_path, tiny_config):
    save_encoder(random_vit(tiny_config), tmp_path / "encoder")
    first = shared_encoder(tmp_path / "encoder")
    assert shared_encoder(tmp_path / "encoder") is first
    torch.manual_seed(9)
    save_encoder(random_vit(tiny_config), tmp_path / "encoder")
    again = shared_encoder(tmp_path / "encoder")
    assert again is not first
    for name, tensor in load_encoder(tmp_path / "encoder").weights().items():
        assert torch.equal(again.weights()[name], tensor)
    (tmp_path / "encoder" / "encoder.json").unlink()
    with pytest.raises(UserError, match=r"encoder\.json does not exist"):
        shared_encoder(tmp_path / "encoder")


def test_opening_it_does_not_wait_for_the_compiler(tmp_path, tiny_config):
    save_encoder(random_vit(tiny_config), tmp_path / "encoder")
    code = """
import sys
from ala.encoder import load_encoder
load_encoder(sys.argv[1])
print([name for name in ("torch._dynamo", "sympy", "timm") if name in sys.modules])
"""
    command = [sys.executable, "-c", code, str(tmp_path / "encoder")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
