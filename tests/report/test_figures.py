"""What the figures draw is over the images that their rows share."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ala.report import figures, style, tables

MAIN = "aea-true-sbn-true"


@pytest.fixture
def drawn(monkeypatch):
    """The figure that would be saved."""
    kept = SimpleNamespace(figure=None)
    monkeypatch.setattr(style, "save", lambda figure, path: setattr(kept, "figure", figure))
    return kept


def test_rows_of_the_ablation_and_the_centre_are_drawn_on_common_images(run_of, cell_of, drawn, tmp_path):
    run = run_of(
        *(cell_of(MAIN, seed, [0.2, 0.8], [0.5, 0.5]) for seed in (0, 1, 2)),
        *(cell_of("aea-false-sbn-true", seed, [0.3, math.nan], [0.5, 0.5]) for seed in (0, 1, 2)),
        *(cell_of("center", seed, [0.1, 0.9], [0.5, 0.5]) for seed in (0, 1, 2)),
    )
    assert figures.ablation(run, tables.ablation(run).frame, tmp_path / "ablation.png")
    panel = drawn.figure.axes[0]
    dots = [np.asarray(points.get_offsets())[:, 1] for points in panel.collections if len(points.get_offsets()) == 3]
    assert [values.tolist() for values in dots] == [[0.3] * 3, [0.2] * 3]  # (ii), then (iii), not 0.5
    levels = [line.get_ydata()[0] for line in panel.lines if line.get_color() == run.rows["center"].look.figure]
    assert any(level == pytest.approx(0.1) for level in levels)


def test_chance_is_drawn_into_the_curves(run_of, cell_of, drawn, tmp_path):
    curve = np.linspace(0.1, 0.9, 41)
    curves = {(MAIN, 0): {"insertion": curve, "deletion": curve[::-1]}}
    run = replace(run_of(cell_of(MAIN, 0, [0.5], [0.5])), curves=curves, data={"classes": 10})
    assert figures.curves(run, tmp_path / "curves.png")
    for panel in drawn.figure.axes:
        assert any(set(line.get_ydata()) == {0.1} and line.get_linestyle() == ":" for line in panel.lines)
    figures.curves(replace(run, data={}), tmp_path / "curves.png")
    assert not any(line.get_linestyle() == ":" for panel in drawn.figure.axes for line in panel.lines)
