"""Look for a method in everything that a report shows."""

from __future__ import annotations

import json
import re

from ala.config import load
from ala.report.rows import rows_of
from tests.extending.conftest import Project


def assert_shown(project: Project, name: str, label: str) -> None:
    """The row is in every table, in per-image scores, and on the page and its gallery in a colour of its own."""
    for table in ("main", "sensitivity", "common_model", "per_seed"):
        assert name in set(project.table(table)["method"]), f"{table}.csv has no row {name}"
    paired = project.table("paired")
    assert name in {*paired["first"], *paired["second"]}, f"paired.csv compares {name} with nothing"
    cell = next(one for one in project.cells if name in one.split("+"))
    scores = project.scores(cell, name)
    assert (scores["image_id"] >= 0).sum() > len(scores) / 2

    indices = rows_of(load(project / "params.yaml"))
    looks = [(index.look.figure, index.look.dash) for index in indices.methods]
    assert looks.count((indices[name].look.figure, indices[name].look.dash)) == 1, f"{name} shares its colour"
    assert indices[name].label == label

    assert label in (project / "reports/report.md").read_text()
    page = (project / "reports/index.html").read_text()
    for place in ("table-main", "table-sensitivity", "table-common_model", "table-paired"):
        part = re.search(rf'<(section|article)[^>]* id="{place}".*?</\1>', page, re.S)
        assert part is not None, f"the page has no part {place}"
        assert label in part.group(), f"the page's part {place} does not show {label}"
    data = json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S).group(1))
    (in_gallery,) = [one for one in data["gallery"]["methods"] if one["label"] == label]
    assert in_gallery["maps"] == (indices[name].kind != "baseline"), (
        "of maps that need no model the gallery has scores alone"
    )
