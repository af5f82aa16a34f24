"""Recipe 5: maps of another program are a folder and its name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ala.data.image_cache import ImageCache
from tests.extending.recipes import recipe
from tests.extending.shown import assert_shown


@pytest.mark.pipeline
def test_foreign_maps_are_a_row_everywhere(project):
    folder = project / "lisa_maps"
    folder.mkdir()
    for split in ("val", "test"):
        images = ImageCache.open(project / "data/image_cache/32", split)
        for position, (image_id, mask) in enumerate(zip(images.image_ids, images.masks, strict=True)):
            if position % 2:
                np.save(folder / f"{image_id}.npy", mask.astype(np.float32) / 255)
            else:
                Image.fromarray(mask[::2, ::2]).save(folder / f"{image_id}.png")
    project.apply(recipe("5. Maps of another program"))
    project.score("lisa")
    project.stages("report")
    assert_shown(project, "lisa", "lisa")
    scores = project.scores("lisa", "lisa")
    found = scores[(scores["protocol"] == "majority-fixed") & (scores["metric"] == "iou")]["value"]
    assert found.mean() > 0.8  # the maps are the masks
