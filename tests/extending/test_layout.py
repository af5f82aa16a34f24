"""Recipe 4: another data layout is one file and its name."""

from __future__ import annotations

import pytest

from tests.conformance.folders import write_flat
from tests.extending.conftest import AFTERWARDS, TRAINED
from tests.extending.recipes import recipe


@pytest.mark.pipeline
def test_another_layout_runs_to_the_report(project):
    write_flat(project / "flat", classes=3, images=7)
    project.apply(recipe("4. A data layout"))
    project.stages(*TRAINED)
    project.score()
    project.stages(*AFTERWARDS, "report")
    main = project.table("main").set_index("method")
    assert {"ala", "rise", "fcam", "abn"} <= set(main.index)
    assert main.loc["ala", "n_images"] == "6"  # two of each class
