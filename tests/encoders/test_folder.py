from __future__ import annotations

import pytest
import torch

from ala.contracts.preprocessing import Preprocessing
from ala.encoders import load_encoder, save_encoder, shared_encoder
from ala.encoders.clip_vit import ClipVit, build_visual
from ala.encoders.conv import ConvEncoder, build_network
from ala.utils.errors import UserError


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


@pytest.mark.parametrize("kind", ["open_clip", "timm"])
def test_opening_it_moves_no_generator_of_random_numbers(tmp_path, tiny_config, kind):
    if kind == "open_clip":
        encoder = random_vit(tiny_config)
    else:
        options = {"out_indices": [0, 1]}
        network = build_network("test_resnet", options)
        encoder = ConvEncoder(network, "test_resnet", options, Preprocessing.named(32, "imagenet"), 4)
    save_encoder(encoder, tmp_path / "encoder")
    before = torch.get_rng_state()
    loaded = load_encoder(tmp_path / "encoder")
    assert torch.equal(torch.get_rng_state(), before)
    for name, tensor in encoder.weights().items():
        assert torch.equal(loaded.weights()[name], tensor)
