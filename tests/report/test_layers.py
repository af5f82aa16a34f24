"""The table of layers against means over the files that it reads."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from ala.report import layers, style
from ala.report.gather import gather
from ala.utils.errors import UserError


@pytest.fixture
def run(fake):
    return gather(fake.settings, fake.folder / "scores", fake.folder / "models", fake.folder / "data")


def test_means_over_photos_then_seeds(run, fake):
    frame = layers.table(run, fake.folder / "scores")
    line = frame[(frame["model"] == "abn") & (frame["layer"] == 1)].iloc[0]
    seeds = []
    for seed in (0, 1, 2):
        rows = pd.read_csv(fake.folder / f"scores/layers/seed-{seed}/scores.csv")
        seeds.append(rows.loc[rows["method"] == "abn-layer-1", "iou_mean_std"].mean())
    assert line["miou_mean"] == pytest.approx(sum(seeds) / 3)
    assert line["miou_std"] == pytest.approx(pd.Series(seeds).std())
    assert frame["layer"].tolist() == [0, 1, 2, 3, "all", 0, 1, 2, 3]
    taps = frame[(frame["model"] == "ala") & (frame["layer"] != "all")]
    assert taps["share_mean"].tolist() == pytest.approx([0.25] * 4)
    assert (line["n_images"], line["n_perturbed"]) == (12, 6)
    assert "| ABN | 1 | 3 | 12 | 6 |" in layers.markdown(frame)


def test_what_was_not_run_is_a_note(run, tmp_path):
    frame = layers.table(run, tmp_path)
    assert frame.empty
    assert "`layers` was not run; run `dvc repro layers@0 layers@1 layers@2`" in run.notes
    assert "not run" in layers.markdown(frame)
    assert layers.draw(frame, tmp_path / "layers.png") is False


def test_an_edited_file_is_refused(run, fake, tmp_path):
    shutil.copytree(fake.folder / "scores/layers", tmp_path / "layers")
    path = tmp_path / "layers/seed-1/taps.csv"
    path.write_text(path.read_text().replace("0.3", "0.4"))
    with pytest.raises(UserError, match=r"taps.csv was changed after it was written .* run `dvc repro layers@1`"):
        layers.table(run, tmp_path)


def test_the_figure_is_drawn(run, fake, tmp_path):
    style.use()
    assert layers.draw(layers.table(run, fake.folder / "scores"), tmp_path / "layers.png")
    assert (tmp_path / "layers.png").stat().st_size > 5000
