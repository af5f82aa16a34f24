"""Reading a run: what is missing becomes a note, what is broken is refused in one sentence."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from ala.contracts import scores as contract
from ala.report.gather import gather
from ala.report.run import share
from ala.utils.errors import UserError
from ala.utils.files import write_json
from tests.report.conftest import changed
from tests.report.fake_run import MINE, USED

VARIANTS = "ala+i+ii+iii+iv"


@pytest.fixture
def copy(fake, tmp_path):
    """The fake run, free to be damaged."""
    for name in ("scores", "models", "data"):
        shutil.copytree(fake.folder / name, tmp_path / name)

    def read(settings=fake.settings):
        return gather(settings, tmp_path / "scores", tmp_path / "models", tmp_path / "data")

    return tmp_path, read


def edit(path, keep):
    """Keep the rows of a scores file for which `keep` of the frame holds."""
    table = contract.load(path)
    contract.save(table[keep(table)], path)


def test_a_whole_run_has_every_score_and_no_note(built):
    run = built.run
    assert run.notes == []
    assert len(run.summaries) == (4 + 4 + 4) * 3  # variants; fcam, rise, abn, mine; baseline maps
    assert run.seeds("ala") == run.seeds("iii") == run.seeds(MINE) == [0, 1, 2]
    assert run.of("iii", "miou")[1] is run.of("ala", "miou")[1]
    assert run.encoder == {"zero_shot_accuracy": 0.95, "n_images": 12, "used": USED}
    assert ("abn", 2) in run.training
    assert run.kept["abn", 2] == 11
    assert all(0 <= area <= 1 for area in run.of("ii", "area")[2])
    assert len(run.of("fcam", "area")[0]) == 0  # nothing is claimed of it


def test_scores_are_those_of_the_files(built):
    path = built.folder / f"scores/{VARIANTS}/seed-1/aea-false-sbn-true/scores.csv"
    rows = pd.read_csv(path)
    mine = rows[(rows["protocol"] == "anyone-otsu") & (rows["metric"] == "iou")].set_index("image_id")["value"]
    found = built.run.under("ii", "anyone-otsu", "iou")[1]
    assert found.index.is_monotonic_increasing
    assert found.to_dict() == pytest.approx(mine.to_dict())


def test_curves_end_where_the_image_ends(built, fake):
    with np.load(fake.folder / "scores/full+center+noise+box/seed-0/box/curves.npz") as archive:
        box = archive["insertion"].mean(axis=0)
    assert built.run.curves["box", 0]["insertion"] == pytest.approx(box)
    shares = share(fake.settings)  # 40 x 40 pixels in steps of 300
    assert shares.tolist() == [0, 300 / 1600, 600 / 1600, 900 / 1600, 1200 / 1600, 1500 / 1600, 1]


def test_missing_seed_and_missing_method_are_notes(copy):
    folder, read = copy
    shutil.rmtree(folder / "scores/fcam/seed-1")
    shutil.rmtree(folder / "scores/abn")
    run = read()
    assert "`fcam` lacks seed 1; run `dvc repro score@fcam-1`" in run.notes
    assert any(note.startswith("`abn` was not run; run `dvc repro score@abn-0") for note in run.notes)
    assert run.seeds("fcam") == [0, 2]
    assert run.seeds("abn") == []


def test_scores_that_lack_some_images_are_notes(copy):
    folder, read = copy
    path = folder / "scores/fcam/seed-0/fcam/scores.csv"
    ids = sorted(set(contract.load(path)["image_id"]) - {-1})
    lost = {"iou": ids[:2], "deletion": ids[:1]}
    edit(path, lambda rows: ~((rows["metric"] == "iou") & rows["image_id"].isin(lost["iou"])))
    edit(path, lambda rows: ~((rows["protocol"] == "majority-otsu") & (rows["image_id"] == ids[2])))
    edit(path, lambda rows: ~((rows["protocol"] == "official-predicted") & (rows["metric"] == "deletion")
                              & (rows["image_id"] == ids[0])))  # fmt: skip
    edit(path, lambda rows: ~((rows["metric"] == "energy") & (rows["image_id"] == ids[0])))
    notes = read().notes
    for said in (
        "`fcam`, seed 0: 1 images have an IoU by some threshold rules only; each mean is over its own images",
        "`fcam`, seed 0: 1 images have only some of insertion, deletion and ID",
        "`fcam` was scored on different images for different seeds; its means mix them",
        "`fcam`, seed 0: 1 maps are 0 everywhere; their energy is left out",
    ):
        assert said in notes
    edit(path, lambda rows: ~((rows["metric"] == "iou") & (rows["image_id"] == ids[2])))
    assert "`fcam`, seed 0: 3 of 12 images have no map; the means of IoU are over the others" in read().notes


def test_scores_on_other_images_than_the_rest_are_a_note(copy):
    folder, read = copy
    path = folder / "scores/abn/seed-1/abn/scores.csv"
    first = contract.load(path).query("protocol == 'official-predicted'")["image_id"].min()
    edit(path, lambda rows: ~((rows["protocol"] == "official-predicted") & (rows["image_id"] == first)))
    assert (
        "`abn`, seed 1: insertion and deletion on other images than the rest (1 differ); means over all of them are"
        " not comparable, tables, paired differences and claims compare on common images"
    ) in read().notes


def test_collapsed_maps_are_a_note(copy):
    folder, read = copy
    path = folder / "scores/abn/seed-1/abn/summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"collapsed_constant": 3}))
    assert (
        "`abn`, seed 1: maps have collapsed: 3 constant of 12; their scores measure the rule and not the map"
    ) in read().notes


def test_maps_of_another_main_model_are_a_note(copy, built):
    _, read = copy
    other = changed(built.run, aea=False).settings
    assert any(
        "`rise`, seed 0: it explains `aea-true-sbn-true`, not the main model" in note for note in read(other).notes
    )


def test_scores_of_another_seed_are_refused(copy):
    folder, read = copy
    shutil.copy(folder / "scores/fcam/seed-1/fcam/scores.csv", folder / "scores/fcam/seed-0/fcam/scores.csv")
    with pytest.raises(UserError, match=r"fcam/seed-0/fcam/scores\.csv holds methods \['fcam'\] and seeds \[1\]"):
        read()


def test_scores_cut_off_at_a_line_end_are_refused(copy):
    folder, read = copy
    path = folder / "scores/fcam/seed-0/fcam/scores.csv"
    whole = json.loads((path.parent / "summary.json").read_text()) | {"n_rows": len(contract.load(path))}
    write_json(path.parent / "summary.json", whole)
    read()
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:40]))
    with pytest.raises(UserError, match=r"scores\.csv has 39 rows of \d+, it is cut off; run `dvc repro score@fcam-0`"):
        read()


def test_scores_with_other_columns_are_refused(copy):
    folder, read = copy
    pd.DataFrame({"method": ["fcam"]}).to_csv(folder / "scores/fcam/seed-0/fcam/scores.csv", index=False)
    with pytest.raises(UserError, match=r"scores\.csv has the columns"):
        read()


@pytest.mark.parametrize("name", ["data/metrics.json", "data/splits/summary.json", "models/encoder/metrics.json"])
def test_broken_json_is_refused(copy, name):
    folder, read = copy
    (folder / name).write_text("{half")
    with pytest.raises(UserError, match=f"{name} is no JSON"):
        read()


def test_curves_of_other_settings_are_refused(copy, fake, built):
    _, read = copy
    metrics = fake.settings.active.metrics.model_copy(update={"step": 100})
    active = fake.settings.active.model_copy(update={"metrics": metrics})
    with pytest.raises(UserError, match="has 7 points per curve, the settings request 17"):
        read(changed(built.run, profiles={"mini": active}).settings)
