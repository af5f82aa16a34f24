"""Recipe 3: another encoder is a name and the features that are read."""

from __future__ import annotations

import ala.utils.torchvision_import

# isort: split
import json

import pytest
import timm
import torch
from safetensors.torch import save_file

import ala
from ala.testing import check_encoder
from tests.extending.conftest import AFTERWARDS, TRAINED
from tests.extending.recipes import recipe


@pytest.mark.pipeline
def test_another_encoder_runs_to_the_report(project):
    (project / "weights").mkdir()
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit", img_size=32).state_dict(), project / "weights/test_vit.safetensors")
    project.apply(recipe("3. An encoder by name"))
    project.stages(*TRAINED[TRAINED.index("encoder") :])
    project.score()
    project.stages(*AFTERWARDS, "report")
    check_encoder(ala.load_encoder(project / "models/encoder"))
    about = json.loads((project / "models/encoder/encoder.json").read_text())
    assert "test_vit" in json.dumps(about)
    assert {"ala", "rise", "fcam", "abn"} <= set(project.table("main")["method"])
