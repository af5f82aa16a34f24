"""What stands below the tables: settings that masks chose, and what else than AEA tells two rows apart."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ala.config import load
from ala.config.schema import Chosen
from ala.report import captions, edge_fix, errors, rows, sensitivity_page
from ala.report.readme import main_table
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
        assert set(chosen.methods) <= {*rows.LABELS, "ala+edge"}


def test_all_that_deviations_and_benchmarks_say_was_chosen_is_listed():
    from benchmarks.trials import TRIALS

    listed = {path for chosen in SETTINGS.profiles["mini"].chosen_on_masks for path in chosen.settings}
    assert {path for changes in TRIALS.values() for path in changes} <= listed
    assert {"fcam.crf.weight", "fcam.seeds.erode", "edge.kappas"} <= listed
    photos = {path for chosen in SETTINGS.profiles["photos"].chosen_on_masks for path in chosen.settings}
    assert {"fcam.seeds.erode", "fcam.seeds.background_share"} <= photos


def test_they_are_named_below_the_main_table_everywhere(built):
    note = captions.chosen_on_masks(built.run)
    for path in ("`fcam.crf.weight`", "`ala.single_layer`", "`abn.layer`", "`edge.kappas`"):
        assert path in note
    assert "F-CAM: `fcam.crf.weight`, `fcam.seeds.erode` (a few values, two seeds)" in note
    assert "; for RISE none." in note
    assert note in main_table(built.run)
    assert note in (built.out / "report.md").read_text()
    assert note in (built.out / "tables/main.md").read_text()
    assert "Chosen with masks." in built.render(captions={"main": note})


def test_a_profile_without_any_says_so(run_of):
    run = run_of()
    active = run.settings.active.model_copy(update={"chosen_on_masks": []})
    settings = run.settings.model_copy(update={"profiles": {"mini": active}})
    assert "no setting of profile `mini` was chosen, either." in captions.chosen_on_masks(
        replace(run, settings=settings)
    )
    one = Chosen(methods=["rise"], settings=["rise.p1"], how="two values, one seed")
    active = active.model_copy(update={"chosen_on_masks": [one]})
    settings = run.settings.model_copy(update={"profiles": {"mini": active}})
    said = captions.chosen_on_masks(replace(run, settings=settings))
    assert "RISE: `rise.p1` (two values, one seed); for ALA, F-CAM, ABN none." in said


def with_train(run, **changes):
    active = run.settings.active
    active = active.model_copy(update={"train": active.train.model_copy(update=changes)})
    return replace(run, settings=run.settings.model_copy(update={"profiles": {"mini": active}}))


def test_confounds_of_the_ablation_follow_from_the_settings(run_of):
    said = captions.confounds(with_train(run_of(), epochs=40, patience=None))
    assert "SBN and AB are updated in 20 epochs of (iii), in all 40 of (ii)" in said
    assert "neither stops early" in said
    assert "-S 'extensions=[half-epochs]'" in said
    patient = captions.confounds(with_train(run_of(), epochs=120, patience=10))
    assert "patience of 10 counts evaluations, so (iii) may go on for 2 times as many epochs as (ii)" in patient
    run = run_of()
    asked = replace(run, settings=run.settings.model_copy(update={"extensions": ["half-epochs"]}))
    assert "Row `half-epochs` trains (ii)" in captions.confounds(asked)
    assert "dvc exp run" not in captions.confounds(asked)


def test_no_confound_of_rows_that_are_not_there(run_of):
    run = run_of()
    kept = [name for name in run.settings.ablations if name != "ii"]
    assert captions.confounds(replace(run, settings=run.settings.model_copy(update={"ablations": kept}))) == ""


def test_curves_over_different_images_are_not_called_comparable(run_of, cell_of):
    import numpy as np

    curves = {"insertion": np.array([0.1, 0.9]), "deletion": np.array([0.9, 0.1])}
    main = replace(cell_of("aea-true-sbn-true", 0, [0.5, 0.5], [0.4, 0.8]), curves=curves)
    fcam = replace(cell_of("fcam", 0, [0.5, 0.5], [0.5, np.nan]), curves=curves)
    assert captions.curves(run_of(main), "as lines").startswith("Mean over 2 images")
    assert "Mean over 1 to 2 images" in captions.curves(run_of(main, fcam), "as lines")
    assert "not comparable" in captions.curves(run_of(main, fcam), "as lines")


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
    settings = built.run.settings
    active = settings.active.model_copy(update={"data": settings.active.data.model_copy(update=levels)})
    run = replace(built.run, settings=settings.model_copy(update={"profiles": {"mini": active}}))
    counts = errors.errors_table(built.folder / "scores", run.settings)
    for text in (captions.protocol(run), edge_fix.caption(run.settings), errors.caption(counts, run.settings)):
        assert re.search(rf"{re.escape(said)}[,; ](?!but)", text)
    assert f"`majority`: {said}; `anyone`: {anyone}; then" in sensitivity_page.caption(run)
