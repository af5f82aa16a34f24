"""What is below the tables: settings that masks chose, and what else than AEA tells two rows apart."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from ala.config import load
from ala.config.schema import Chosen
from ala.report import captions, edge, errors, sensitivity
from ala.report.edge_scores import gather
from ala.report.readme import main_table
from ala.report.rows import rows_of
from tests.report.conftest import changed, of_profile
from tests.report.fake_run import ROOT

SETTINGS = load(ROOT / "params.yaml")


def setting(section, path: str):
    """The value at a dotted path."""
    for name in path.split("."):
        section = getattr(section, name)
    return section


@pytest.mark.parametrize("profile", SETTINGS.profiles)
def test_each_setting_that_masks_chose_is_one_of_the_profile(profile):
    found = SETTINGS.profiles[profile]
    assert found.chosen_on_masks  # the edge fix chooses in the run itself
    for chosen in found.chosen_on_masks:
        for path in chosen.settings:
            setting(found, path)
        assert all(method in rows_of(SETTINGS) for method in set(chosen.methods) - {"ala+edge"})


def test_all_that_deviations_and_benchmarks_say_was_chosen_is_listed():
    from benchmarks.trials import TRIALS

    listed = {path for chosen in SETTINGS.profiles["mini"].chosen_on_masks for path in chosen.settings}
    assert {path for changes in TRIALS.values() for path in changes} <= listed
    assert {"fcam.crf.weight", "fcam.seeds.erode", "edge.kappas"} <= listed
    images = {path for chosen in SETTINGS.profiles["photos"].chosen_on_masks for path in chosen.settings}
    assert {"fcam.seeds.erode", "fcam.seeds.background_share"} <= images


def test_they_are_named_below_the_main_table_everywhere(built):
    note = captions.chosen_on_masks(built.run)
    for path in ("`fcam.crf.weight`", "`ala.single_layer`", "`abn.layer`", "`edge.kappas`"):
        assert path in note
    assert "F-CAM: `fcam.crf.weight`, `fcam.seeds.erode` (a few values, two seeds)" in note
    assert "; none is declared for RISE, my method." in note
    assert note in main_table(built.run)
    assert note in (built.out / "report.md").read_text()
    assert note in (built.out / "tables/main.md").read_text()
    assert "Chosen with masks." in built.render()


def test_a_profile_without_any_says_so(run_of):
    none = of_profile(run_of(), chosen_on_masks=[])
    assert "no setting of profile `mini` was chosen, either." in captions.chosen_on_masks(none)
    one = Chosen(methods=["rise"], settings=["rise.p1"], how="two values, one seed")
    said = captions.chosen_on_masks(of_profile(run_of(), chosen_on_masks=[one]))
    assert "RISE: `rise.p1` (two values, one seed); none is declared for ALA, F-CAM, ABN." in said


def with_train(run, **changes):
    return of_profile(run, train=run.settings.active.train.model_copy(update=changes))


def test_confounds_of_the_ablation_follow_from_the_settings(run_of):
    said = captions.confounds(with_train(run_of(), epochs=40, patience=None))
    assert "SBN and AB are updated in 20 epochs of (iii), in all 40 of (ii)" in said
    assert "neither stops early" in said
    assert "-S 'extensions=[half-epochs]'" in said
    patient = captions.confounds(with_train(run_of(), epochs=120, patience=10))
    assert "patience of 10 counts evaluations, so (iii) may go on for 2 times as many epochs as (ii)" in patient
    asked = changed(run_of(), extensions=["half-epochs"])
    assert "Row `half-epochs` trains (ii)" in captions.confounds(asked)
    assert "dvc exp run" not in captions.confounds(asked)


def test_no_confound_of_rows_that_are_not_there(run_of):
    assert captions.confounds(changed(run_of(), methods=["ala+i+iii", "rise"])) == ""


def test_curves_over_different_images_are_not_called_comparable(run_of, cell_of):
    curves = {"insertion": np.array([0.1, 0.9]), "deletion": np.array([0.9, 0.1])}
    main = cell_of("aea-true-sbn-true", 0, [0.5, 0.5], [0.4, 0.8])
    both = run_of(main, cell_of("fcam", 0, [0.5, 0.5], [0.5, np.nan]))
    one, two = (replace(run, curves=dict.fromkeys(run.summaries, curves)) for run in (run_of(main), both))
    assert captions.curves(one, "as lines").startswith("Mean over 2 images")
    assert "Mean over 1 to 2 images" in captions.curves(two, "as lines")
    assert "not comparable" in captions.curves(two, "as lines")


@pytest.mark.parametrize(
    ("levels", "said", "anyone"),
    [
        ({}, "ground truth grey > 127", "ground truth grey > 0"),
        ({"background_levels": [128]}, "ground truth grey > 127 but for level 128",
         "ground truth grey > 0 but for level 128"),
        ({"object_levels": [1, 3], "background_levels": [255]}, "ground truth mask level 1 or 3",
         "ground truth mask level 1 or 3"),
    ],
)  # fmt: skip
def test_captions_say_which_pixels_of_a_mask_count(built, levels, said, anyone):
    run = of_profile(built.run, data=built.run.settings.active.data.model_copy(update=levels))
    counts = errors.table(run, gather(built.folder / "scores", run.settings))
    for text in (captions.protocol(run), edge.caption(run), counts.caption):
        assert re.search(rf"{re.escape(said)}[,; ](?!but)", text)
    assert f"`majority`: {said}; `anyone`: {anyone}; then" in sensitivity.caption(run)
