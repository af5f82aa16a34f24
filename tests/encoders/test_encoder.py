"""The one encoder class over networks of timm and open_clip: features, embedding, gradients, what is frozen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import open_clip
import pytest
import timm
import torch
from torch import nn

from ala.contracts.preprocessing import Preprocessing
from ala.encoders import Encoder, assert_frozen
from ala.encoders.clip_source import check_config, check_tower, clip_encoder, read_config, require_quick_gelu
from ala.encoders.networks import make_encoder, resize_positions
from ala.utils.errors import UserError
from tests.encoders.bicubic import bicubic_reference

NORMS = {"norm_kwargs": {"eps": 1e-3}}


def clip(config, seed: int = 0) -> open_clip.CLIP:
    """A CLIP whose norms and biases do something."""
    torch.manual_seed(seed)
    model = open_clip.CLIP(**config).eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 and name != "visual.class_embedding":
            nn.init.normal_(parameter, mean=float("ln" in name and "weight" in name), std=0.2)
    return model.requires_grad_(False)


def encoder_of(model, config, size=None) -> Encoder:
    size = size or config["vision_cfg"]["image_size"]
    return clip_encoder(model.visual, "open_clip:small", config, Preprocessing.named(size, "clip"))


def timm_encoder(name: str, size: int = 64, grid: int = 6, **options) -> Encoder:
    torch.manual_seed(0)
    description = {"name": f"timm:{name}", "options": options}
    return make_encoder(description, Preprocessing.named(size, "half"), grid)


def bilinear_reference(image: np.ndarray, image_size: int) -> np.ndarray:
    """(C, h, h) to (C, side, side), half-pixel centres, edges repeated."""
    h = image.shape[1]
    out = np.zeros((len(image), image_size, image_size))
    for r in range(image_size):
        for c in range(image_size):
            y = np.clip((r + 0.5) * h / image_size - 0.5, 0, h - 1)
            x = np.clip((c + 0.5) * h / image_size - 0.5, 0, h - 1)
            i, j = int(y), int(x)
            i2, j2, v, u = min(i + 1, h - 1), min(j + 1, h - 1), y - i, x - j
            top = image[:, i, j] * (1 - u) + image[:, i, j2] * u
            bottom = image[:, i2, j] * (1 - u) + image[:, i2, j2] * u
            out[:, r, c] = top * (1 - v) + bottom * v
    return out


# --- open_clip's Vision Transformers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "vision",
    [
        {},
        {"pool_type": "avg"},
        {"pool_type": "avg", "final_ln_after_pool": True},
        {"final_ln_after_pool": True},
        {"ls_init_value": 0.1, "patch_dropout": 0.5},
        {"no_ln_pre": True},
        {"pos_embed_type": "sin_cos_2d"},
        {"act_kwargs": {"approximate": "tanh"}, **NORMS},
    ],
    ids=str,
)
@pytest.mark.parametrize("quick", [False, True])
def test_features_and_embedding_are_open_clips_own(tiny_config, vision, quick):
    tiny_config["vision_cfg"] |= vision
    tiny_config["quick_gelu"] = quick
    if quick and "act_kwargs" in vision:
        pytest.skip("QuickGELU takes no options")
    model = clip(tiny_config)
    encoder = encoder_of(model, tiny_config)
    images = torch.randn(3, 3, 16, 16)
    theirs = model.visual.forward_intermediates(images)["image_intermediates"]
    ours = encoder.features(images, [0, 1, 2])
    assert encoder.feature_channels == dict.fromkeys(range(3), 16)
    assert {feature: tuple(x.shape) for feature, x in ours.items()} == dict.fromkeys(range(3), (3, 16, 2, 2))
    torch.testing.assert_close(ours[1], theirs[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours[2], theirs[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoder.pooled(images), model.encode_image(images), atol=1e-5, rtol=1e-5)


def test_the_miniatures_clip_gives_encode_image():
    config = read_config("birdlet-clip")
    model, images = clip(config), torch.randn(2, 3, 80, 80)
    found = encoder_of(model, config).pooled(images)
    torch.testing.assert_close(found, model.encode_image(images), atol=1e-5, rtol=1e-5)


def test_feature_zero_is_the_normalised_patch_embedding(tiny_config):
    torch.manual_seed(0)
    model = open_clip.CLIP(**tiny_config).eval().requires_grad_(False)
    visual = model.visual
    image = torch.randn(1, 3, 16, 16)
    got = encoder_of(model, tiny_config).features(image, [0])[0]
    kernel = visual.conv1.weight.numpy()
    for row in range(2):
        for column in range(2):
            patch = image[0, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].numpy()
            token = np.einsum("ocij,cij->o", kernel, patch)
            token = token + visual.positional_embedding[1 + 2 * row + column].numpy()
            token = (token - token.mean()) / np.sqrt(token.var() + 1e-5)  # ln_pre, weight 1 and bias 0
            np.testing.assert_allclose(got[0, :, row, column], token, atol=1e-5)


@pytest.mark.parametrize("image_size", [3, 7])
def test_positions_are_resized_bicubically_and_the_class_row_stays(image_size):
    embedding = torch.randn(1 + 25, 4, generator=torch.Generator().manual_seed(0))
    resized = resize_positions(embedding, image_size)
    assert torch.equal(resized[0], embedding[0])
    expected = bicubic_reference(embedding[1:].reshape(5, 5, 4).double().numpy(), image_size)
    np.testing.assert_allclose(resized[1:].reshape(image_size, image_size, 4), expected, atol=1e-5)


def test_another_input_size_gives_another_grid_and_resized_positions(tiny_config):
    model = clip(tiny_config)
    encoder = encoder_of(model, tiny_config, size=40)
    assert encoder.grid == 5
    assert encoder.features(torch.randn(1, 3, 40, 40), [2])[2].shape == (1, 16, 5, 5)
    assert torch.equal(encoder.network.pos_embed[0], resize_positions(model.visual.positional_embedding, 5))


def test_an_input_that_is_no_multiple_of_the_patch_is_refused(tiny_config):
    with pytest.raises(UserError, match=r"input_size \(20\) must be a multiple of the encoder's patch of 8"):
        encoder_of(clip(tiny_config), tiny_config, size=20)


def test_other_towers_are_refused(tiny_config):
    blocks = open_clip.CLIP(**tiny_config | {"vision_cfg": tiny_config["vision_cfg"] | {"qk_norm": True}})
    resnet = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16}
    for model in (blocks, open_clip.CLIP(**tiny_config | {"vision_cfg": resnet})):
        with pytest.raises(UserError, match=r"is no square Vision Transformer .* e\.g\. open_clip:ViT-B-16/openai$"):
            check_tower(model.visual)
    with pytest.raises(UserError, match=r"timm's vit_base_patch16_siglip_224, .* timm:vit_base_patch16_siglip_224$"):
        check_config(open_clip.get_model_config("ViT-B-16-SigLIP"))


def test_quick_gelu_is_asserted_block_by_block(tiny_config):
    require_quick_gelu(clip(tiny_config | {"quick_gelu": True}).visual, "openai")
    with pytest.raises(UserError, match="'openai' were trained with QuickGELU, but block 1 of the model has GELU"):
        require_quick_gelu(clip(tiny_config).visual, "openai")


# --- timm's networks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_feature_maps_are_resized_to_the_grid(name):
    encoder, images = timm_encoder(name), torch.randn(2, 3, 64, 64)
    maps = encoder.network.forward_intermediates(images, intermediates_only=True)
    assert encoder.n_features == len(maps)
    assert encoder.blocks is None
    for feature, channels in encoder.feature_channels.items():
        found = encoder.features(images, [feature])[feature]  # runs no further than it needs
        assert found.shape == (2, channels, 6, 6)
        np.testing.assert_allclose(found[1], bilinear_reference(maps[feature][1].numpy(), 6), atol=1e-4)
    assert encoder.pooled(images).shape == (2, encoder.network.num_features)
    assert encoder.text_features is None


@pytest.mark.parametrize(("name", "prefix"), [("test_vit", 1), ("test_vit2", 1), ("test_vit3", 1), ("test_vit4", 1)])
def test_timms_transformers_give_tokens_of_their_blocks(name, prefix):
    encoder, images = timm_encoder(name, size=96), torch.randn(2, 3, 96, 96)
    network = encoder.network
    assert (encoder.grid, network.num_prefix_tokens) == (6, prefix)
    assert encoder.n_features == len(network.blocks) + 1
    inside: list[torch.Tensor] = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, inputs, output: inside.append(output))
    network.blocks[0].register_forward_pre_hook(lambda _, inputs: inside.append(inputs[0]))
    network(images)
    expected = {feature: tokens[:, prefix:].mT.reshape(2, -1, 6, 6) for feature, tokens in enumerate(inside)}
    for feature, value in encoder.features(images, list(encoder.feature_channels)).items():
        torch.testing.assert_close(value, expected[feature])
    assert encoder.pooled(images).shape == (2, network.num_features)


def test_a_network_without_intermediate_features_is_refused():
    network = nn.Conv2d(3, 3, 1)
    with pytest.raises(UserError, match=r"timm:odd gives no intermediate features in timm; choose"):
        Encoder(network, nn.Identity(), {"name": "timm:odd"}, Preprocessing.named(4, "half"), 4)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet51", {}, r"timm has no model 'resnet51'; near ones are resnet"),
        ("test_vit.nowhere", {}, r"timm has no weights 'nowhere' of test_vit; near ones are test_vit\.r160_in1k"),
        ("test_resnet", {"padding_kind": "same"}, r"encoder\.options: .*padding_kind"),
    ],
)
def test_unknown_names_and_options_are_refused(name, options, message):
    with pytest.raises(UserError, match=message):
        timm_encoder(name, **options)


def test_sizes_that_a_network_does_not_take_are_refused():
    with pytest.raises(UserError, match=r"input_size \(100\) must be a multiple of the encoder's patch of 16"):
        timm_encoder("test_vit", size=100)


# --- all of them ------------------------------------------------------------------------------------------------------

NAMES = ["test_vit", "test_resnet"]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_the_callers_choice(name):
    encoder, images = timm_encoder(name), torch.randn(2, 3, 64, 64)
    numbers = list(encoder.feature_channels)
    plain = encoder.features(images, numbers)
    assert not any(value.requires_grad or value.is_inference() for value in plain.values())
    images.requires_grad_()
    for feature in numbers:
        value = encoder.features(images, [feature])[feature]
        torch.testing.assert_close(value, plain[feature])
        (gradient,) = torch.autograd.grad(value.square().sum(), images)
        assert gradient.abs().sum() > 0
    (gradient,) = torch.autograd.grad(encoder.pooled(images).square().sum(), images)
    assert gradient.abs().sum() > 0
    with torch.inference_mode():
        assert all(value.is_inference() for value in encoder.features(images, numbers).values())
    assert all(parameter.grad is None for parameter in encoder.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_layers_after_the_last_wanted_feature_are_not_run(name):
    encoder, ran = timm_encoder(name), []
    parts = encoder.blocks or [encoder.network.get_submodule(f"layer{number}") for number in (1, 2, 3, 4)]
    for number, part in enumerate(parts, start=1):
        part.register_forward_hook(lambda *_, number=number: ran.append(number))
    for feature in (0, 2):
        ran.clear()
        encoder.features(torch.zeros(1, 3, 64, 64), [feature, 0])
        assert ran == list(range(1, feature + 1))
    assert encoder.features(torch.zeros(1, 3, 64, 64), []) == {}


@pytest.mark.parametrize("name", NAMES)
def test_no_hook_stays(name):
    encoder = timm_encoder(name)
    encoder.features(torch.zeros(1, 3, 64, 64), [0, 1])
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in encoder.modules())


def test_threads_do_not_meet_in_feature_zero():
    encoder = timm_encoder("test_vit")
    images = [torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) for seed in range(8)]
    wanted = ([0], [0, 2], [1], [0, 1])
    alone = [encoder.features(one, wanted[k % 4]) for k, one in enumerate(images)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            together = pool.map(lambda k: encoder.features(images[k], wanted[k % 4]), range(len(images)))
            for found, right in zip(together, alone, strict=True):
                assert all(torch.equal(found[number], right[number]) for number in right)


def test_unknown_features_and_images_of_another_shape_are_refused():
    encoder = timm_encoder("test_resnet")
    with pytest.raises(UserError, match="no feature 9, only 0, 1, 2, 3, 4"):
        encoder.features(torch.zeros(1, 3, 64, 64), [0, 9])
    for shape in [(1, 3, 64, 65), (1, 1, 64, 64), (3, 64, 64)]:
        with pytest.raises(ValueError, match=r"must be \(B, 3, 64, 64\)"):
            encoder.features(torch.zeros(shape), [0])


def test_it_stays_frozen_and_in_eval_mode_also_inside_another_module():
    encoder = timm_encoder("test_resnet")
    outer = nn.Sequential(encoder, nn.BatchNorm2d(2)).train()
    assert outer[1].training
    assert_frozen(encoder)


def test_assert_frozen_finds_each_way_to_learn():
    encoder, other = timm_encoder("test_resnet"), nn.Parameter(torch.zeros(1))
    weight, norm = encoder.network.layer1[0].conv1.weight, encoder.network.layer1[0].bn1
    assert_frozen(encoder, torch.optim.SGD([other], lr=1.0))
    with pytest.raises(AssertionError, match=r"conv1\.weight is in the optimiser"):
        assert_frozen(encoder, torch.optim.SGD([other, weight], lr=1.0))
    norm.training = True
    with pytest.raises(AssertionError, match=r"module network\.layer1\.0\.bn1 is in training mode"):
        assert_frozen(encoder)
    encoder.eval()
    weight.grad = torch.zeros_like(weight)
    with pytest.raises(AssertionError, match="holds a gradient"):
        assert_frozen(encoder)
    weight.grad = None
    norm.weight.requires_grad_(True)
    with pytest.raises(AssertionError, match=r"bn1\.weight requires a gradient"):
        assert_frozen(encoder)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_encoder_gives_the_same(name):
    encoder, images = timm_encoder(name), torch.randn(2, 3, 64, 64)
    for wanted in ([0], [0, 2]):
        compiled = torch.compile(lambda x, wanted=wanted: encoder.features(x, wanted))
        with torch.inference_mode():
            for feature, value in compiled(images).items():
                torch.testing.assert_close(value, encoder.features(images, wanted)[feature], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_real_weights_of_a_timm_transformer(shared_weights):
    """DeiT-Tiny by its name: the class token is the embedding, as in timm."""
    from ala.config.schema import EncoderSettings
    from ala.encoders import build_encoder

    path = shared_weights / "deit_tiny_patch16_224.safetensors"
    if not path.is_file():
        pytest.skip("deit_tiny_patch16_224.safetensors is not at hand")
    settings = EncoderSettings(name="timm:deit_tiny_patch16_224", weights="pretrained", options=[], norm="imagenet")
    encoder = build_encoder(settings, 224, 0, [], file=path)
    model = timm.create_model("deit_tiny_patch16_224", checkpoint_path=str(path)).eval()
    images = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.pooled(images), model.forward_features(images)[:, 0])
    assert (encoder.grid, encoder.n_features) == (14, 13)
