from __future__ import annotations

import pytest
import torch

from ala.contracts.preprocessing import Preprocessing
from ala.encoders import Encoder, load_encoder, save_encoder, shared_encoder
from ala.encoders.networks import make_encoder
from ala.utils.errors import UserError


def random_vit(config: dict) -> Encoder:
    return make_encoder({"name": "open_clip:small", "config": config}, Preprocessing.named(16, "clip"), 0)


def test_models_of_one_process_share_the_encoder_until_its_files_change(tmp_path, tiny_config):
    save_encoder(random_vit(tiny_config), tmp_path / "encoder")
    first = shared_encoder(tmp_path / "encoder")
    assert shared_encoder(tmp_path / "encoder") is first
    torch.manual_seed(9)
    save_encoder(random_vit(tiny_config), tmp_path / "encoder")
    again = shared_encoder(tmp_path / "encoder")
    assert again is not first
    for name, tensor in load_encoder(tmp_path / "encoder").state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    (tmp_path / "encoder" / "encoder.json").unlink()
    with pytest.raises(UserError, match=r"encoder\.json does not exist"):
        shared_encoder(tmp_path / "encoder")


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [("test_resnet", {}, 32), ("test_vit", {}, 96), ("test_vit", {"img_size": 64}, 96), (None, {}, 16), (None, {}, 40)],
)
def test_it_comes_back_as_it_was_and_moves_no_generator(tmp_path, tiny_config, name, options, size):
    if name is None:
        description = {"name": "open_clip:small", "config": tiny_config}
    else:
        description = {"name": f"timm:{name}", "options": options}
    encoder = make_encoder(description, Preprocessing.named(size, "imagenet"), 4)
    save_encoder(encoder, tmp_path / "encoder")
    before = torch.get_rng_state()
    loaded = load_encoder(tmp_path / "encoder")
    assert torch.equal(torch.get_rng_state(), before)
    assert (loaded.grid, loaded.feature_channels) == (encoder.grid, encoder.feature_channels)
    images = torch.randn(2, 3, size, size)
    for feature, value in encoder.features(images, encoder.feature_channels).items():
        assert torch.equal(loaded.features(images, [feature])[feature], value)
    assert torch.equal(loaded.pooled(images), encoder.pooled(images))
