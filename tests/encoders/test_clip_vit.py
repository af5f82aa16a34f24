from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch

from ala.contracts.preprocessing import Preprocessing
from ala.encoders import assert_frozen
from ala.encoders.clip_source import read_config
from ala.encoders.clip_vit import ClipVit, build_visual, require_quick_gelu, resize_positions
from ala.utils.errors import UserError
from tests.encoders.bicubic import bicubic_reference


def clip(config, seed: int = 0) -> open_clip.CLIP:
    torch.manual_seed(seed)
    return open_clip.CLIP(**config).eval()


def encoder_of(model, config, size=None) -> ClipVit:
    size = size or config["vision_cfg"]["image_size"]
    return ClipVit(model.visual, config, Preprocessing.named(size, "clip"))


def agrees_with_open_clip(config) -> None:
    model = clip(config)
    encoder = encoder_of(model, config)
    side = encoder.preprocessing.size
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        expected = model.encode_image(images)
        tokens = encoder.tokens(images, [encoder.last_tap])[encoder.last_tap]
        by_hand = model.visual.ln_post(tokens)
        averaged = model.visual.pool_type == "avg"
        by_hand = (by_hand[:, 1:].mean(dim=1) if averaged else by_hand[:, 0]) @ model.visual.proj
    torch.testing.assert_close(by_hand, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoder.pooled(images), expected, atol=1e-5, rtol=1e-5)
    last = encoder.taps(images, [encoder.last_tap])[encoder.last_tap]
    torch.testing.assert_close(last.flatten(2).mT, tokens[:, 1:])


def test_the_last_tap_and_the_class_token_give_encode_image():
    agrees_with_open_clip(read_config("birdlet-clip"))


def test_average_pooling_gives_encode_image(tiny_config):
    for after in (False, True):
        tiny_config["vision_cfg"] |= {"pool_type": "avg", "final_ln_after_pool": after}
        model = clip(tiny_config)
        images = torch.randn(3, 3, 16, 16)
        with torch.no_grad():
            expected = model.encode_image(images)
        torch.testing.assert_close(encoder_of(model, tiny_config).pooled(images), expected, atol=1e-5, rtol=1e-5)


def test_taps_are_open_clips_own_intermediates(tiny_config):
    model = clip(tiny_config)
    encoder = encoder_of(model, tiny_config)
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        theirs = model.visual.forward_intermediates(images)["image_intermediates"]
    ours = encoder.taps(images, [0, 1, 2])
    assert {tap: tuple(x.shape) for tap, x in ours.items()} == dict.fromkeys(range(3), (2, 16, 2, 2))
    torch.testing.assert_close(ours[1], theirs[0])
    torch.testing.assert_close(ours[2], theirs[1])


def test_tap_zero_is_the_normalised_patch_embedding(tiny_config):
    model = clip(tiny_config)
    visual = model.visual
    image = torch.randn(1, 3, 16, 16)
    got = encoder_of(model, tiny_config).taps(image, [0])[0]
    kernel = visual.conv1.weight.detach().numpy()
    for row in range(2):
        for column in range(2):
            patch = image[0, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].numpy()
            token = np.einsum("ocij,cij->o", kernel, patch)
            token = token + visual.positional_embedding[1 + 2 * row + column].detach().numpy()
            token = (token - token.mean()) / np.sqrt(token.var() + 1e-5)  # ln_pre, weight 1 and bias 0
            np.testing.assert_allclose(got[0, :, row, column], token, atol=1e-5)


def test_blocks_after_the_last_wanted_tap_are_not_run(tiny_config):
    encoder = encoder_of(clip(tiny_config), tiny_config)
    ran = []
    for number, block in enumerate(encoder.blocks, start=1):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    encoder.taps(torch.zeros(1, 3, 16, 16), [0])
    assert ran == []
    encoder.taps(torch.zeros(1, 3, 16, 16), [1, 0])
    assert ran == [1]


def test_it_is_frozen_and_keeps_patch_dropout_off(tiny_config):
    tiny_config["vision_cfg"]["patch_dropout"] = 0.5
    encoder = encoder_of(clip(tiny_config), tiny_config).train()
    assert_frozen(encoder)
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(encoder.pooled(images), encoder.pooled(images))


@pytest.mark.parametrize("side", [3, 7])
def test_positions_are_resized_bicubically_and_the_class_row_stays(side):
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(1 + 25, 4, generator=generator)
    resized = resize_positions(embedding, side)
    assert torch.equal(resized[0], embedding[0])
    expected = bicubic_reference(embedding[1:].reshape(5, 5, 4).double().numpy(), side)
    np.testing.assert_allclose(resized[1:].reshape(side, side, 4), expected, atol=1e-5)
    assert resize_positions(embedding, 5) is embedding


def test_another_input_size_gives_another_grid(tiny_config):
    encoder = encoder_of(clip(tiny_config), tiny_config, size=40)
    assert encoder.grid == 5
    assert encoder.taps(torch.randn(1, 3, 40, 40), [2])[2].shape == (1, 16, 5, 5)


def test_an_input_that_is_no_multiple_of_the_patch_is_refused(tiny_config):
    with pytest.raises(UserError, match=r"input_size \(20\) must be a multiple of the encoder's patch of 8"):
        encoder_of(clip(tiny_config), tiny_config, size=20)


def test_towers_without_these_taps_are_refused(tiny_config):
    tiny_config["vision_cfg"] = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16}
    with pytest.raises(UserError, match="ModifiedResNet"):
        build_visual(tiny_config)


def test_quick_gelu_is_asserted_block_by_block(tiny_config):
    require_quick_gelu(build_visual(tiny_config | {"quick_gelu": True}), "openai")
    with pytest.raises(UserError, match="'openai' were trained with QuickGELU, but block 1 of the model has GELU"):
        require_quick_gelu(build_visual(tiny_config), "openai")


def test_timm_towers_are_refused_in_words():
    with pytest.raises(UserError, match=r"image tower is timm's vit_base_patch16_siglip_224, .* e\.g\. ViT-B-16$"):
        build_visual(open_clip.get_model_config("ViT-B-16-SigLIP"))
