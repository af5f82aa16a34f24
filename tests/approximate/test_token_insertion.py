"""Token insertion against one forward pass per point, and at its ends."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch

from ala.approximate.token_insertion import ZeroShot, _entering, patch_ranks, token_curves
from ala.contracts.preprocessing import Preprocessing
from ala.encoders import Encoder
from ala.encoders.networks import make_encoder
from ala.utils.errors import UserError
from tests.explainers.conftest import ToyPhotos

CPU = torch.device("cpu")


def encoder(pool: str = "tok", texts: bool = True) -> Encoder:
    torch.manual_seed(0)
    vision: dict[str, Any] = {"image_size": 16, "layers": 2, "width": 32, "head_width": 16, "patch_size": 4,
                              "pool_type": pool}  # fmt: skip
    config = {"embed_dim": 8, "vision_cfg": vision}
    features = torch.randn(5, 8) if texts else None
    return make_encoder({"name": "open_clip:small", "config": config}, Preprocessing.named(16, "clip"), 0, features)


@pytest.mark.parametrize("curve", ["insertion", "deletion"])
def test_curves_equal_one_forward_pass_per_point(curve: Literal["insertion", "deletion"]) -> None:
    model, photos, rows = ZeroShot(encoder()), ToyPhotos(4, 16), np.array([3, 1, 0])
    maps, targets = np.random.default_rng(0).random((3, 8, 8), np.float32), np.array([4, 0, 2])
    found = token_curves(
        model, photos, rows, maps, targets, curve=curve, step=3, seed=0, batch=2, device=CPU
    )  # fmt: skip
    assert found.shape == (3, 7)  # 16 patches in steps of 3: 0, 3, ..., 15, 16
    ranks = patch_ranks(maps, 16, 4, photos.image_ids[rows], 0)
    for row, ranked, target, values in zip(rows, ranks, targets, found, strict=True):
        image = model.preprocessing.normalise(photos.pixels(np.array([row])))
        tokens = _entering(model.encoder, image)
        for count, value in zip([0, 3, 6, 9, 12, 15, 16], values, strict=True):
            kept = ranked[:count] if curve == "insertion" else ranked[count:]
            x = tokens[:, [0, *(kept + 1)]]
            for block in model.encoder.blocks:
                x = block(x)
            embedding = model.encoder.head(model.encoder.network.norm(x)[0, 0])
            cosines = torch.nn.functional.cosine_similarity(embedding[None], model.texts)
            assert value == pytest.approx(float((100 * cosines).softmax(0)[target]), abs=1e-5)


def test_all_tokens_give_the_whole_photo() -> None:
    model, photos, rows, targets = ZeroShot(encoder()), ToyPhotos(2, 16), np.arange(2), np.array([1, 3])
    whole = model(model.preprocessing.normalise(photos.pixels(rows)))[torch.arange(2), torch.as_tensor(targets)].numpy()
    maps = np.random.default_rng(1).random((2, 4, 4))
    options: dict[str, Any] = {"step": 5, "seed": 0, "batch": 8, "device": CPU}
    insertion = token_curves(model, photos, rows, maps, targets, curve="insertion", **options)
    deletion = token_curves(model, photos, rows, maps, targets, curve="deletion", **options)
    np.testing.assert_allclose(insertion[:, -1], whole, atol=1e-5)
    np.testing.assert_allclose(deletion[:, 0], whole, atol=1e-5)
    np.testing.assert_allclose(insertion[:, 0], deletion[:, -1], atol=1e-5)  # the class token alone


def test_patches_are_ranked_by_the_mean_of_the_map() -> None:
    importance = np.arange(16.0).reshape(1, 4, 4)
    assert patch_ranks(importance, 16, 4, np.array([1]), 0)[0].tolist() == list(range(15, -1, -1))
    flat = patch_ranks(np.ones((2, 4, 4)), 16, 4, np.array([1, 2]), 0)
    assert sorted(flat[0]) == list(range(16))
    assert flat[0].tolist() != flat[1].tolist()  # equal patches: by the photo's own permutation


def test_encoders_that_cannot_are_refused() -> None:
    with pytest.raises(UserError, match="no text features"):
        ZeroShot(encoder(texts=False))


def test_an_encoder_that_averages_patches_knows_nothing_without_them() -> None:
    model, photos, rows = ZeroShot(encoder("avg")), ToyPhotos(2, 16), np.arange(2)
    options: dict[str, Any] = {"step": 8, "seed": 0, "batch": 2, "device": CPU}
    maps, targets = np.random.default_rng(2).random((2, 4, 4)), np.array([1, 3])
    insertion = token_curves(model, photos, rows, maps, targets, curve="insertion", **options)
    deletion = token_curves(model, photos, rows, maps, targets, curve="deletion", **options)
    whole = model(model.preprocessing.normalise(photos.pixels(rows)))[torch.arange(2), torch.as_tensor(targets)].numpy()
    assert insertion[:, 0].tolist() == deletion[:, -1].tolist() == [pytest.approx(1 / 5)] * 2
    np.testing.assert_allclose(insertion[:, -1], whole, atol=1e-5)
    np.testing.assert_allclose(deletion[:, 0], whole, atol=1e-5)
    assert np.isfinite(insertion).all()
