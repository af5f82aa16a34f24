"""Reading a run: what is missing becomes a note, what is broken is refused in one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ala.contracts import scores as contract
from ala.report.gather import gather
from ala.report.rows import place
from ala.report.run import share
from ala.utils.errors import UserError


@pytest.fixture
def copy(fake, tmp_path):
    """The fake run, free to be damaged."""
    for name in ("scores", "models", "data"):
        shutil.copytree(fake.folder / name, tmp_path / name)

    def read():
        return gather(fake.settings, tmp_path / "scores", tmp_path / "models", tmp_path / "data")

    return tmp_path, read


def test_a_whole_run_has_every_cell_and_no_note(fake):
    run = gather(fake.settings, fake.folder / "scores", fake.folder / "models", fake.folder / "data")
    assert run.notes == []
    assert len(run.cells) == (4 + 3 + 4) * 3  # variants; fcam, rise, abn; trivial maps
    assert {cell.method for row in ("ala", "iii") for cell in run.of(row)} == {"aea-true-sbn-true"}
    assert run.of("box")[1].scores["method"].unique().tolist() == ["box"]
    used = {"batch": 64, "device": "cpu", "gpu": None, "precision": "fp32", "threads": 2}
    assert run.encoder == {"zero_shot_accuracy": 0.95, "n_images": 12, "used": used}
    assert ("abn", 2) in run.training
    assert run.kept["abn", 2] == 11


def test_curves_belong_to_their_method_and_end_where_the_photo_ends(fake):
    run = gather(fake.settings, fake.folder / "scores", fake.folder / "models", fake.folder / "data")
    with np.load(fake.folder / "scores" / place("box", 0, fake.settings) / "curves.npz") as archive:
        box = archive["insertion"].mean(axis=0)
    assert run.of("box")[0].curves["insertion"] == pytest.approx(box)
    shares = share(fake.settings)  # 40 x 40 pixels in steps of 300
    assert shares.tolist() == [0, 300 / 1600, 600 / 1600, 900 / 1600, 1200 / 1600, 1500 / 1600, 1]


def test_missing_seed_and_missing_method_are_notes(copy):
    folder, read = copy
    shutil.rmtree(folder / "scores/fcam/seed-1")
    shutil.rmtree(folder / "scores/abn")
    run = read()
    assert "`fcam` lacks seed 1; run `dvc repro score@fcam-1`" in run.notes
    assert any(note.startswith("`abn` was not run; run `dvc repro score@abn-0") for note in run.notes)
    assert [cell.seed for cell in run.of("fcam")] == [0, 2]
    assert run.of("abn") == []


def lose(path: Path, images: list[int], lost: Callable[[pd.DataFrame], pd.Series]) -> None:
    """Take numbers of some images (by position) out of a table of scores."""
    table = contract.load(path)
    ids = np.sort(table["image_id"].unique())
    ids = ids[ids >= 0][images]
    contract.save(table[~(table["image_id"].isin(ids) & lost(table))], path)


def test_missing_scores_are_notes(copy):
    folder, read = copy
    path = folder / "scores/fcam/seed-0/fcam/scores.csv"
    lose(path, [0, 1], lambda table: table["protocol"].str.startswith("majority"))
    lose(path, [2], lambda table: (table["protocol"] == "majority-otsu") & (table["metric"] == "iou"))
    lose(path, [2], lambda table: (table["protocol"] == "official-predicted") & (table["metric"] == "deletion"))
    notes = read().notes
    assert (
        "`fcam`, seed 0: 1 photos have an IoU by some threshold rules only; each mean is over its own photos" in notes
    )
    assert "`fcam`, seed 0: 1 photos have only some of insertion, deletion and ID" in notes
    assert "`fcam` was scored on different photos for different seeds; its means mix them" in notes

    lose(path, [2], lambda table: table["protocol"].str.startswith("majority"))
    assert "`fcam`, seed 0: 3 of 12 photos have no map; the means of IoU are over the others" in read().notes


def test_collapsed_maps_are_a_note(copy):
    folder, read = copy
    path = folder / "scores/abn/seed-1/abn/summary.json"
    summary = json.loads(path.read_text()) | {"collapsed_constant": 3, "collapsed_one_pixel": 0}
    path.write_text(json.dumps(summary))
    assert (
        "`abn`, seed 1: maps have collapsed: 3 constant of 12; their scores measure the rule and not the map"
    ) in read().notes


def test_rise_of_another_main_model_is_a_note(fake):
    settings = fake.settings.model_copy(update={"aea": False})
    run = gather(settings, fake.folder / "scores", fake.folder / "models", fake.folder / "data")
    assert any("`rise`, seed 0: it explains `aea-true-sbn-true`, not the main model" in note for note in run.notes)


def test_scores_of_another_seed_are_refused(copy):
    folder, read = copy
    shutil.copy(folder / "scores/fcam/seed-1/fcam/scores.csv", folder / "scores/fcam/seed-0/fcam/scores.csv")
    with pytest.raises(UserError, match=r"fcam/seed-0/fcam/scores\.csv holds seeds \[1\]"):
        read()


def test_scores_with_other_columns_are_refused(copy):
    folder, read = copy
    pd.DataFrame({"method": ["fcam"]}).to_csv(folder / "scores/fcam/seed-0/fcam/scores.csv", index=False)
    with pytest.raises(UserError, match=r"scores\.csv has the columns"):
        read()


def test_scores_on_other_photos_than_the_rest_are_a_note(copy):
    folder, read = copy
    lose(folder / "scores/abn/seed-1/abn/scores.csv", [0], lambda table: table["protocol"] == "official-predicted")
    assert (
        "`abn`, seed 1: insertion and deletion on other photos than the rest (1 differ); means over all of them are"
        " not comparable, tables, paired differences and claims compare on common photos"
    ) in read().notes


@pytest.mark.parametrize("name", ["data/metrics.json", "data/splits/summary.json", "models/encoder/metrics.json"])
def test_broken_json_is_refused(copy, name):
    folder, read = copy
    (folder / name).write_text("{half")
    with pytest.raises(UserError, match=f"{name} is no JSON"):
        read()


def test_curves_of_other_settings_are_refused(copy, fake):
    folder, _ = copy
    profile = fake.settings.active.model_copy(
        update={"metrics": fake.settings.active.metrics.model_copy(update={"step": 100})}
    )
    settings = fake.settings.model_copy(update={"profiles": {"mini": profile}})
    with pytest.raises(UserError, match="has 7 points per curve, the settings ask for 17"):
        gather(settings, folder / "scores", folder / "models", folder / "data")
