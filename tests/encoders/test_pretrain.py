from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import open_clip
import pytest
import torch
from torch import nn

from ala.config.schema import Pretrain
from ala.contracts.preprocessing import Preprocessing
from ala.encoders.pretrain import augment, contrastive_loss, make_optimisers, pretrain, warm_cosine
from ala.encoders.text import class_features
from ala.utils.errors import UserError

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}


def pairs(n: int):
    """Noisy squares of one colour each, and a caption that names it."""
    rng = np.random.default_rng(0)
    names = [list(COLOURS)[i % 3] for i in range(n)]
    pixels = np.stack([rng.normal(COLOURS[name], 25, (16, 16, 3)) for name in names])
    return pixels.clip(0, 255).astype(np.uint8), [f"a {name} square" for name in names]


def train(config, seed=0, n=96, epochs=12):
    settings = Pretrain(pairs=n, epochs=epochs, batch=16, lr=3e-3, weight_decay=0.05, seed=seed)
    return pretrain(config, Preprocessing.named(16, "clip"), settings, *pairs(n), more_texts=["a"])


class Fixed(nn.Module):
    """Takes the place of a CLIP: hands out given unit vectors."""

    def __init__(self, images, texts, scale) -> None:
        super().__init__()
        self.images, self.texts = images, texts
        self.logit_scale = torch.tensor(math.log(scale))

    def encode_image(self, _, normalize):
        return self.images

    def encode_text(self, _, normalize):
        return self.texts


def test_the_loss_by_hand():
    # Three images, two texts; images 0 and 2 belong to text 0. Vectors (1, 0) and (0, 1), scale 2.
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    model = Fixed(images, torch.eye(2), scale=2.0)
    loss = contrastive_loss(model, images, torch.zeros(2, 1), torch.tensor([0, 1, 0]))
    e2 = math.exp(2)
    image_to_text = -(math.log(e2 / (e2 + 1)) + math.log(e2 / (e2 + 1)) + math.log(1 / (e2 + 1))) / 3
    first = -(math.log(e2 / (e2 + 2)) + math.log(1 / (e2 + 2))) / 2  # text 0 over images: half on 0, half on 2
    second = -math.log(e2 / (2 * e2 + 1))
    assert loss.item() == pytest.approx((image_to_text + (first + second) / 2) / 2, rel=1e-6)


def test_without_repeated_captions_it_is_clips_loss():
    generator = torch.Generator().manual_seed(0)
    images, texts = (nn.functional.normalize(torch.randn(5, 4, generator=generator), dim=-1) for _ in range(2))
    loss = contrastive_loss(Fixed(images, texts, 7.0), images, torch.zeros(5, 1), torch.arange(5))
    logits, own = 7.0 * images @ texts.T, torch.arange(5)
    expected = (nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(loss, expected)


def test_it_learns_to_name_colours(tiny_config):
    model, tokenise = train(tiny_config)
    assert not model.training
    texts = class_features(model, tokenise, [[f"a {name} square"] for name in COLOURS])
    pixels, _ = pairs(30)
    images = Preprocessing.named(16, "clip").normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    with torch.no_grad():
        nearest = (model.encode_image(images, normalize=True) @ texts.T).argmax(dim=1)
    assert (nearest == torch.arange(30) % 3).float().mean() > 0.95


def test_the_seed_decides_the_weights(tiny_config):
    same, again, other = (train(tiny_config, seed, n=32, epochs=2)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(same[key], again[key]) for key in same)
    assert not torch.equal(same["visual.conv1.weight"], other["visual.conv1.weight"])


def test_augmentation_keeps_what_captions_say():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.zeros(64, 3, 16, 16, dtype=torch.uint8)
    pixels[:, 0, 6:10, 2:4] = 250  # a red patch at the left
    out = augment(pixels, generator)
    assert out.dtype == torch.uint8
    assert out.shape == pixels.shape
    assert (out[:, 0].float().amax(dim=(1, 2)) > out[:, 1:].float().amax(dim=(1, 2, 3)) + 100).all()
    columns = out[:, 0].float().sum(dim=1).argmax(dim=1)  # where each patch is now
    assert 10 < (columns >= 8).sum() < 54  # about half are mirrored
    assert len(out[:, 2, 0, 0].unique()) > 10  # the light differs
    assert torch.equal(pixels, pixels.clone())


def test_the_learning_rate_rises_then_falls_to_zero():
    factors = [warm_cosine(step, 100) for step in range(101)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(a >= b for a, b in pairwise(factors[4:]))
    assert factors[100] == pytest.approx(0, abs=1e-9)


def test_each_parameter_has_one_optimiser_and_vectors_are_not_decayed(tiny_config):
    model = open_clip.CLIP(**tiny_config)
    settings = Pretrain(pairs=1, epochs=1, batch=1, lr=1e-3, weight_decay=0.1, seed=0)
    optimisers = make_optimisers(model, settings)
    names = {id(p): name for name, p in model.named_parameters()}
    groups = [(type(o).__name__, group) for o in optimisers for group in o.param_groups]
    found = [(names[id(p)], kind, group["weight_decay"]) for kind, group in groups for p in group["params"]]
    assert sorted(name for name, _, _ in found) == sorted(names.values())
    by_name = {name: (kind, decay) for name, kind, decay in found}
    assert by_name["visual.transformer.resblocks.0.mlp.c_fc.weight"][0] == "Muon"
    assert by_name["transformer.resblocks.0.attn.in_proj_weight"][0] == "Muon"
    assert by_name["visual.conv1.weight"] == by_name["text_projection"] == ("AdamW", 0.1)
    for name in ("logit_scale", "visual.positional_embedding", "token_embedding.weight", "visual.ln_pre.weight"):
        assert by_name[name] == ("AdamW", 0.0)
    decays = {group["lr"] * group["weight_decay"] for _, group in groups if group["weight_decay"]}
    assert max(decays) == pytest.approx(min(decays))  # Muon's longer steps do not decay more


def test_fixed_positions_do_not_move(tiny_config):
    tiny_config["vision_cfg"]["pos_embed_type"] = "sin_cos_2d"
    model, _ = train(tiny_config, n=16, epochs=1)
    torch.manual_seed(5)
    untrained = open_clip.CLIP(**tiny_config).visual.positional_embedding
    assert torch.equal(model.visual.positional_embedding, untrained)


def test_a_vocabulary_that_is_too_small_is_refused(tiny_config):
    tiny_config["text_cfg"]["vocab_size"] = 5
    with pytest.raises(UserError, match="vocab_size"):
        train(tiny_config)
