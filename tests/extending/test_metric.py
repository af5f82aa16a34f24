"""Recipe 2: a new metric is one file and its name, and only it is computed."""

from __future__ import annotations

import pytest

from ala.testing import check_metric
from tests.extending.recipes import recipe

NAME = "plugins.extent:Extent"


@pytest.mark.pipeline
def test_a_new_metric_is_in_every_methods_scores_and_in_the_sensitivity(project):
    shards = set((project / "state").rglob("*.npz"))
    project.apply(recipe("2. A metric"))
    project.score()
    added = set((project / "state").rglob("*.npz")) - shards
    assert {file.parent.name.split("-")[0] for file in added} == {"plugins.extent_Extent"}

    for cell in project.cells:
        for folder in (project / "scores" / cell / "seed-0").iterdir():
            scores = project.scores(cell, folder.name)
            found = scores[scores["protocol"] == "extent"]
            assert set(found["metric"]) == {"share", "largest"}
            assert (found["metric"] == "share").sum() == scores["image_id"].nunique() - 1 or folder.name == "rise"
    project.stages("report")
    sensitivity = project.table("sensitivity")
    rows = sensitivity[(sensitivity["protocol"] == "extent") & (sensitivity["metric"] == "share")]
    assert {"ala", "fcam", "rise", "abn"} <= set(rows["method"])
    assert ">Extent<" in (project / "reports/index.html").read_text()


def test_the_recipe_keeps_the_contract():
    cell = {"__name__": "extent"}
    exec(recipe("2. A metric").files["plugins/extent.py"], cell)  # noqa: S102
    check_metric(cell["Extent"])
