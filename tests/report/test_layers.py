"""The table of layers against means over the files that it reads."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from ala.report import layers, style
from ala.report.gather import gather
from ala.report.render import markdown
from ala.utils.errors import UserError


@pytest.fixture
def run(fake):
    return gather(fake.settings, fake.folder / "scores", fake.folder / "models", fake.folder / "data")


def test_means_over_images_then_seeds(run, fake):
    table = layers.table(run, fake.folder / "scores")
    frame = table.frame
    line = frame[(frame["model"] == "abn") & (frame["layer"] == 1)].iloc[0]
    seeds = []
    for seed in (0, 1, 2):
        rows = pd.read_csv(fake.folder / f"scores/layers/seed-{seed}/scores.csv")
        mine = rows.query("method == 'abn-layer-1' and protocol == 'majority-mean_std' and metric == 'iou'")
        seeds.append(mine["value"].mean())
    assert line["miou_mean"] == pytest.approx(sum(seeds) / 3)
    assert line["miou_std"] == pytest.approx(pd.Series(seeds).std())
    assert frame["layer"].tolist() == [0, 1, 2, 3, "all", 0, 1, 2, 3]
    features = frame[(frame["model"] == "ala") & (frame["layer"] != "all")]
    assert features["share_mean"].tolist() == pytest.approx([0.25] * 4)
    assert (line["n_images"], line["n_perturbed"]) == (12, 6)
    assert "| ABN | 1 | 3 | 12 | 6 |" in markdown(table, run.rows, False)


def test_what_was_not_run_is_a_note(run, tmp_path):
    table = layers.table(run, tmp_path)
    assert table.frame.empty
    assert "`layers` was not run; run `dvc repro layers@0 layers@1 layers@2`" in run.notes
    assert layers.draw(run, table.frame, tmp_path / "layers.png") is False


def test_a_broken_file_is_refused(run, fake, tmp_path):
    shutil.copytree(fake.folder / "scores/layers", tmp_path / "layers")
    (tmp_path / "layers/seed-1/features.csv").unlink()
    with pytest.raises(UserError, match=r"features.csv is no table of features"):
        layers.table(run, tmp_path)


def test_the_figure_is_drawn(run, fake, tmp_path):
    style.use()
    assert layers.draw(run, layers.table(run, fake.folder / "scores").frame, tmp_path / "layers.png")
    assert (tmp_path / "layers.png").stat().st_size > 5000
