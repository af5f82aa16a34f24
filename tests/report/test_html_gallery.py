"""The gallery's data: the images, maps, scores and curves that the run has, in the room that there is."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from ala.contracts.maps import Maps
from ala.metrics.curves import Curves
from ala.report.html import choice, images, pictures
from tests.report.fake_run import MINE


def data(built, room=10**7, kinds=None):
    return images.data(built.run, built.folder / "maps", built.folder / "scores", built.image_cache, kinds or {}, room)


def decoded(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_every_image_has_what_the_files_say(built):
    top = built.content.tables["error_top"].frame
    found = data(built, kinds=images.kinds(top, 2))
    assert [source_image["id"] for source_image in found["images"]] == built.image_cache.image_ids.tolist()
    assert [method["row"] for method in found["methods"]][:5] == ["ala", "fcam", "rise", "abn", MINE]
    assert [method["row"] for method in found["methods"] if not method["maps"]] == ["full", "center", "noise", "box"]
    maps = Maps.load(built.folder / "maps/rise/seed-0/rise/test.npz")
    curves = Curves.load(built.folder / "scores/rise/seed-0/rise/curves.npz")
    scores = built.run.of("rise", "miou")[0]
    for row, source_image in enumerate(found["images"]):
        image = source_image["id"]
        assert source_image["label"] == built.image_cache.labels[row]
        error = decoded(source_image["image"]).astype(int) - built.image_cache.images[row]
        assert np.abs(error).mean() < 12  # JPEG of noisy discs
        assert (decoded(source_image["mask"]) == built.image_cache.foreground([row])[0]).all()
        assert ("rise" in source_image["maps"]) == (image in maps.image_ids)
        assert ("rise" in source_image["curves"]) == (image in curves.image_ids)
        value = source_image["scores"]["rise"][found["scores"].index("iou_mean_std")]
        assert value is None if image not in scores else value == pytest.approx(scores[image], rel=1e-5)
        if "rise" in source_image["maps"]:
            own = maps.select(np.array([image]))[0]
            scaled = (own - own.min()) / (own.max() - own.min())
            assert np.abs(decoded(source_image["maps"]["rise"]) / 255 - scaled).max() <= 0.5 / 255 + 1e-6
        if "rise" in source_image["curves"]:
            line = curves.deletion[list(curves.image_ids).index(image)]
            assert np.abs(np.array(source_image["curves"]["rise"][1]) / 1000 - line).max() <= 0.0005 + 1e-6
    kinds = {source_image["id"]: source_image["kind"] for source_image in found["images"] if "kind" in source_image}
    assert kinds == dict(zip(top["image_id"], top["kind_2"], strict=True))
    json.dumps(found, allow_nan=False)


def test_calibrated_maps_keep_their_values():
    maps = Maps(np.array([4]), np.full((1, 2, 2), 0.4, np.float32), "fcam", "fcam", np.array([-1]), calibrated=True)
    assert (decoded(pictures.heat(maps, 0)) == 102).all()


def test_large_pictures_are_made_smaller():
    maps = Maps(np.array([4]), np.random.default_rng(0).random((1, 200, 200)), "a", "a", np.array([-1]))
    assert decoded(pictures.heat(maps, 0)).shape == (80, 80)
    assert decoded(pictures.image(np.zeros((300, 300, 3), np.uint8))).shape == (160, 160, 3)


def test_room_decides_how_many_images_there_are(built):
    whole = data(built)
    size = len(json.dumps(whole["images"], separators=(",", ":")))
    part = data(built, room=size // 2)
    assert 0 < len(part["images"]) < len(whole["images"])
    assert len(json.dumps(part["images"], separators=(",", ":"))) <= size // 2
    worst = built.run.of("ala", "miou")[0].sort_values(kind="stable").index.tolist()
    assert {image["id"] for image in part["images"]} == set(worst[: len(part["images"])])
    assert data(built, room=0)["images"] == []


def slow_order(labels, score, perturbed):
    left = set(labels)
    found = []
    while len(found) < choice.WORST and left & set(score):
        found.append(min(left & set(score), key=lambda image: (score[image], image)))
        left.remove(found[-1])
    while left:
        for label in sorted({labels[image] for image in left}):
            mine = [image for image in left if labels[image] == label]
            with_curves = [image for image in mine if image in perturbed]
            found.append(min(with_curves or mine))
            left.remove(found[-1])
    return found[: choice.MOST]


def test_worst_images_come_first_then_each_class_in_turn():
    rng = np.random.default_rng(3)
    for count in (0, 5, 80, 700):
        images = rng.permutation(5000)[:count].tolist()
        labels = {image: int(rng.integers(7)) for image in images}
        score = {image: float(rng.integers(20)) / 20 for image in images[: count // 2]}
        perturbed = set(images[::3])
        assert choice.order(labels, score, perturbed) == slow_order(labels, score, perturbed)
