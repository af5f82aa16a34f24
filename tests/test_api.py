"""The public names of `ala`: few, imported when they are used, and enough for a notebook."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

import ala
from ala.encoders import save_encoder
from ala.metrics.curves import area
from ala.metrics.iou import min_max, predict
from ala.model.checkpoint import save_model, sha256_of
from ala.testing import toys
from tests.model import conftest
from tests.model.test_checkpoint import trained

#: Fixtures of a small trained model.
settings, abn, clip_vit = conftest.ala, conftest.abn, conftest.clip_vit
side, perception = conftest.side, conftest.perception

#: What docs/extending.md shows; `folder` holds models and an image cache.
NOTEBOOK = """
import ala
model = ala.load_model(folder / "models/mine/seed-0", folder / "models/encoder")
cache = ala.ImageCache.open(folder / "images", "test")
images = model.preprocessing.normalise(cache.pixels(range(10)))
targets = model(images).argmax(dim=1)
maps = ala.rise(model, images, targets, n_masks=50)
overlap = ala.iou(maps, cache.foreground(range(10)))
scores = ala.insertion_deletion(model, images, maps, targets, step=16).areas()
print(overlap.mean(), scores["id"].mean())
"""


def test_ten_to_fifteen_names():
    assert 10 <= len(ala.__all__) <= 15
    assert sorted(ala.__all__) == list(ala.__all__)
    for name in ala.__all__:
        assert getattr(ala, name) is not None
        assert name in dir(ala)
    with pytest.raises(AttributeError, match="has no attribute 'explian'; its names are Classifier"):
        ala.explian  # noqa: B018


def test_importing_is_cheap():
    code = "import sys, ala; print([m for m in ('torch', 'numpy', 'pandas', 'ala.config') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.fixture
def folder(tmp_path, settings, abn, clip_vit):
    save_encoder(clip_vit, tmp_path / "models/encoder")
    model = trained(settings, abn, clip_vit)
    about = {"encoder_sha256": sha256_of(tmp_path / "models/encoder")}
    save_model(tmp_path / "models/mine/seed-0", model, about)
    toys.write_images(tmp_path / "images", "test", 10, 16)
    return tmp_path


def test_a_notebook_scores_one_method_on_ten_images_in_ten_lines(folder, capsys):
    assert len(NOTEBOOK.strip().splitlines()) <= 10
    cell = {"folder": folder}
    exec(NOTEBOOK, cell)  # noqa: S102
    assert cell["maps"].shape == (10, 16, 16)
    assert cell["overlap"].shape == cell["scores"]["id"].shape == (10,)
    assert len(capsys.readouterr().out.split()) == 2


def test_metrics_of_arrays_are_those_of_the_pipeline():
    model, pixels = toys.RandomClassifier(), toys.pixels(3)
    images, masks = model.preprocessing.normalise(pixels), toys.masks(3) > 127
    maps = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    full = torch.nn.functional.interpolate(maps[:, None].double(), size=(32, 32), mode="bilinear")[:, 0].float()
    for rule, tau in (("mean_std", None), ("fixed", None), ("otsu", None), ("val", 0.3)):
        found, wanted = ala.iou(maps, masks, rule=rule, tau=tau), predict(min_max(full.numpy()), rule, tau)
        np.testing.assert_array_equal(found, (wanted & masks).sum((1, 2)) / (wanted | masks).sum((1, 2)))

    curves = ala.insertion_deletion(model, images, maps, step=64)
    with torch.no_grad():
        predicted = model(images)
        np.testing.assert_allclose(curves.insertion[:, -1], predicted.max(dim=1).values, atol=1e-6)
        np.testing.assert_allclose(curves.deletion[:, 0], predicted.max(dim=1).values, atol=1e-6)
        first = full.flatten(1).argsort(dim=1, descending=True)[:, :64]  # the first step deletes these pixels
        deleted = images.flatten(2).scatter(2, first[:, None].expand(-1, 3, -1), 0.0).view_as(images)
        wanted = model(deleted)[range(3), curves.targets]
    np.testing.assert_allclose(curves.deletion[:, 1], wanted, atol=1e-6)
    np.testing.assert_allclose(curves.areas()["id"], area(curves.insertion) - area(curves.deletion))
    other = ala.insertion_deletion(model, images, maps, predicted.argmin(dim=1), step=64)
    np.testing.assert_allclose(other.insertion[:, -1], predicted.min(dim=1).values, atol=1e-6)
