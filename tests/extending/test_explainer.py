"""Recipe 1: a new explainer is one file and its name."""

from __future__ import annotations

import pytest

from ala.testing import check_explainer
from tests.extending.recipes import recipe
from tests.extending.shown import assert_shown

NAME = "plugins.gradient:Gradient"


@pytest.mark.pipeline
def test_a_new_explainer_is_a_row_everywhere(project):
    earlier = {file: file.read_bytes() for file in (project / "scores").rglob("scores.csv")}
    project.apply(recipe("1. An explainer"))
    assert project.cells[-1] == NAME
    project.score(NAME)
    project.stages("report")
    assert_shown(project, NAME, "Gradient")
    assert {file: file.read_bytes() for file in earlier} == earlier


def test_the_recipe_keeps_the_contract():
    text = recipe("1. An explainer").files["plugins/gradient.py"]
    cell = {"__name__": "gradient"}
    exec(text, cell)  # noqa: S102
    check_explainer(cell["Gradient"])
