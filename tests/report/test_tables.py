"""The tables against means and standard deviations computed by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from ala.report import notes, slides, tables
from ala.report.render import markdown, write_csv
from tests.report.conftest import changed

MAIN = "aea-true-sbn-true"


@pytest.fixture
def run(run_of, cell_of):
    return run_of(
        cell_of(MAIN, 0, [0.2, 0.4], [0.5, 0.7]),  # mean IoU 0.3, insertion 0.6
        cell_of(MAIN, 1, [0.4, 0.6], [0.7, 0.9]),  # 0.5, 0.8
        cell_of(MAIN, 2, [0.6, 0.8], [0.9, 1.1]),  # 0.7, 1.0
        cell_of("fcam", 1, [0.25, 0.0], [0.5, math.nan]),
    )


def test_mean_over_images_then_mean_and_sample_deviation_over_seeds(run):
    ala = tables.main(run).frame.set_index("method").loc["ala"]
    assert (ala["n_seeds"], ala["n_images"]) == (3, 2)
    assert ala["miou_mean"] == pytest.approx(0.5)
    assert ala["miou_std"] == pytest.approx(0.2)  # sqrt((0.04 + 0 + 0.04) / (3 - 1))
    assert ala["insertion_mean"] == pytest.approx(0.8)
    assert ala["insertion_std"] == pytest.approx(0.2)
    assert ala["deletion_std"] == pytest.approx(0.1)
    assert ala["id_mean"] == pytest.approx(0.4)
    assert ala["accuracy_mean"] == 0.5
    assert ala["accuracy_std"] == 0
    assert ala["paper_miou"] == slides.printed("main")["ala"]["miou"].mean


def test_spread_is_of_seed_means_not_of_pooled_images(run_of, cell_of):
    """With seeds of unequal size the mean of means differs from the pooled mean: 0.4, not 0.3."""
    run = run_of(cell_of(MAIN, 0, [0.2, 0.2, 0.2]), cell_of(MAIN, 1, [0.6]))
    ala = tables.main(run).frame.set_index("method").loc["ala"]
    assert ala["miou_mean"] == pytest.approx(0.4)
    assert ala["n_images"] == 1  # the smaller one; the note says that seeds differ


def test_rows_are_compared_on_the_images_that_all_of_them_have(run_of, cell_of):
    """ALA is above RISE over all of its own images, and below it on the two that RISE explains."""
    run = run_of(
        *(cell_of(MAIN, seed, [0.2, 0.3, 0.9, 0.9], [0.5, 0.7, math.nan, math.nan]) for seed in (0, 1, 2)),
        *(cell_of("rise", seed, [0.4, 0.4, math.nan, math.nan], [0.5, 0.6, math.nan, math.nan]) for seed in (0, 1, 2)),
    )
    main = tables.main(run).frame.set_index("method")
    ala, rise = main.loc["ala"], main.loc["rise"]
    assert (ala["miou_mean"], rise["miou_mean"]) == (pytest.approx(0.575), pytest.approx(0.4))
    assert (ala["miou_common_mean"], rise["miou_common_mean"]) == (pytest.approx(0.25), pytest.approx(0.4))
    for rule in ("fixed", "otsu", "val"):
        assert ala[f"miou_{rule}_common_mean"] == pytest.approx(0.25)
    assert (ala["n_images"], ala["n_common"], rise["n_images"], rise["n_common"]) == (4, 2, 2, 2)
    assert (ala["n_perturbed"], ala["n_perturbed_common"]) == (2, 2)
    assert ala["insertion_common_mean"] == ala["insertion_mean"] == pytest.approx(0.6)
    assert ala["accuracy_mean"] == 0.25  # over all images: it belongs to the model
    ablation = tables.ablation(run).frame.set_index("row").loc["iii"]
    assert (ablation["n_common"], ablation["miou_common_mean"]) == (4, pytest.approx(0.575))  # RISE is no row of it


def test_insertion_too_is_compared_on_common_images_only(run_of, cell_of):
    run = run_of(cell_of(MAIN, 0, [0.5, 0.5], [0.4, 0.8]), cell_of("fcam", 0, [0.5, 0.5], [0.5, math.nan]))
    ala = tables.main(run).frame.set_index("method").loc["ala"]
    assert (ala["insertion_mean"], ala["insertion_common_mean"]) == (pytest.approx(0.6), 0.4)
    assert (ala["id_common_mean"], ala["n_perturbed"], ala["n_perturbed_common"]) == (0.2, 2, 1)


def test_common_images_are_of_the_rows_that_have_the_seed(run_of, cell_of):
    """A row that lacks a seed, or has no score at all there, takes no image from the others."""
    run = run_of(cell_of(MAIN, 0, [0.1, 0.5]), cell_of(MAIN, 1, [0.3, 0.7]), cell_of("rise", 0, [0.2, math.nan]),
                 cell_of("fcam", 1, [math.nan, math.nan]))  # fmt: skip
    assert run.common([run.rows[name] for name in ("ala", "rise", "fcam")], "miou") == {0: {1}, 1: {1, 2}}
    ala = tables.main(run).frame.set_index("method").loc["ala"]
    assert ala["miou_common_mean"] == pytest.approx((0.1 + 0.5) / 2)
    assert math.isnan(tables.main(run).frame.set_index("method").loc["fcam", "miou_common_mean"])


def test_one_seed_has_no_spread_and_says_so_by_n_seeds(run):
    fcam = tables.main(run).frame.set_index("method").loc["fcam"]
    assert fcam["n_seeds"] == 1
    assert fcam["miou_mean"] == pytest.approx(0.125)
    assert math.isnan(fcam["miou_std"])
    assert fcam["insertion_mean"] == 0.5


def test_zero_shot_is_the_last_row_and_has_an_accuracy_alone(run):
    run.encoder.update({"zero_shot_accuracy": 0.625, "n_images": 8})
    table = tables.main(run).frame
    last = table.iloc[-1]
    assert (last["method"], last["accuracy_mean"], last["n_images"]) == ("zero_shot", 0.625, 8)
    assert last[["n_seeds", "accuracy_std", "miou_mean", "id_mean", "paper_miou"]].isna().all()
    shown = markdown(tables.main(run), run.rows, False).splitlines()[-1]
    assert shown.startswith("| frozen encoder, zero-shot | – | 8 | 0.625 | – |")
    assert "zero-shot" not in markdown(tables.main(run), run.rows, False, tables.BRIEF)
    run.encoder["zero_shot_accuracy"] = None  # an encoder without text
    assert "zero_shot" not in set(tables.main(run).frame["method"])


def test_extensions_that_were_requested_are_rows_below_the_slides(run, run_of, cell_of):
    assert list(tables.ablation(run).frame["row"]) == ["i", "ii", "iii", "iv"]
    asked = changed(
        run_of(cell_of("lora", 0, [0.2, 0.6]), cell_of(MAIN, 0, [0.2, 0.4])), extensions=["lora", "all-taps"]
    )
    table = tables.ablation(asked).frame
    assert list(table["row"]) == ["i", "ii", "iii", "iv", "lora", "all-taps"]
    lora, features = (table.set_index("row").loc[name] for name in ("lora", "all-taps"))
    assert lora["miou_mean"] == pytest.approx(0.4)
    assert (lora["aea"], lora["sbn"], lora["paper_miou"]) == ("true", "true", None)
    assert lora["command"] == "dvc repro extend@0-lora extend@1-lora extend@2-lora"
    assert features["miou_mean"] == "not run"
    assert "lora" in set(tables.per_seed(asked).frame["method"])
    half = tables.ablation(changed(run, extensions=["half-epochs"])).frame
    assert half.iloc[-1][["row", "aea", "sbn"]].tolist() == ["half-epochs", "false", "true"]
    assert "| (iii) + LoRA | true | true | 1 |" in markdown(tables.ablation(asked), asked.rows, False)
    assert any("`all-taps` was not run; run `dvc repro extend@0-all-taps" in note for note in notes.oddities(asked))


def test_what_was_not_run_says_so(run):
    rise = tables.main(run).frame.set_index("method").loc["rise"]
    assert rise["n_seeds"] == 0
    assert set(rise[[name for name in tables.COLUMNS if name.startswith("n_")][1:]]) == {"not run"}
    assert set(rise[tables.MEASURED]) == {"not run"}
    assert rise["paper_miou"] == 0.39
    assert rise["command"] == "dvc repro score@rise-0 score@rise-1 score@rise-2"


def test_rows_columns_and_commands_are_the_contract(run):
    main, ablation = tables.main(run).frame, tables.ablation(run).frame
    assert list(main["method"]) == ["ala", "fcam", "rise", "abn", "full", "center", "noise", "box"]
    assert list(main.columns) == ["method", *tables.COLUMNS]
    assert list(ablation.columns) == ["row", "aea", "sbn", *tables.COLUMNS]
    assert ablation[["row", "aea", "sbn"]].to_numpy().tolist() == [
        ["i", "true", "false"], ["ii", "false", "true"], ["iii", "true", "true"], ["iv", "false", "false"]
    ]  # fmt: skip
    command = main.set_index("method")["command"]
    assert command["ala"] == " ".join(["dvc repro", *(f"score@ala+i+ii+iii+iv-{seed}" for seed in (0, 1, 2))])
    assert command["box"].startswith("dvc repro score@full+center+noise+box-0 ")
    own = ["n_seeds", "n_images", "n_perturbed", *(name for name in tables.MEASURED if "_common_" not in name)]
    assert ablation.loc[2, own].tolist() == main.loc[0, own].tolist()  # the shared images are those of each table


def test_a_seed_without_insertion_is_not_averaged_away(run_of, cell_of):
    run = run_of(cell_of(MAIN, 0, [0.2], [0.5]), cell_of(MAIN, 1, [0.4]))
    ala = tables.main(run).frame.set_index("method").loc["ala"]
    assert math.isnan(ala["insertion_mean"])
    assert ala["miou_mean"] == pytest.approx(0.3)


def test_csv_keeps_full_precision_and_leaves_absent_values_empty(run, tmp_path):
    write_csv(tables.main(run).frame, tmp_path / "main.csv")
    lines = (tmp_path / "main.csv").read_text().splitlines()
    written = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert float(written["miou_mean"]) == tables.main(run).frame.loc[0, "miou_mean"]
    assert dict(zip(lines[0].split(","), lines[2].split(","), strict=True))["miou_std"] == ""
    assert (
        dict(zip(lines[0].split(","), lines[4].split(","), strict=True))["paper_miou"] == ""
    )  # abn: not on the slides


def test_main_row_follows_the_switches(run):
    other = changed(run, aea=False)
    assert tables.main(other).frame.loc[0, "n_seeds"] == 0  # aea-false-sbn-true was not run
    assert tables.ablation(other).frame.loc[2, "n_seeds"] == 3  # row iii still is


def test_per_seed_names_the_rows_and_counts_empty_predictions(run):
    table = tables.per_seed(run).frame
    assert table["rows"].tolist() == ["ala iii"] * 3 + ["fcam"]
    assert table["miou"].tolist() == pytest.approx([0.3, 0.5, 0.7, 0.125])
    assert table["empty_mean_std"].tolist() == [0, 0, 0, 1]
    assert table["n_perturbed"].tolist() == [2, 2, 2, 1]


def test_slides_are_read_from_the_copy():
    main, ablation = slides.printed("main"), slides.printed("ablation")
    assert set(main) == {"ala", "fcam", "rise"}
    assert set(ablation) == {"i", "ii", "iii"}
    assert str(main["fcam"]["miou"]) == "0.550 ± 0.017"
    gap = main["rise"]["insertion"].mean - main["rise"]["deletion"].mean - main["rise"]["id"].mean
    assert gap == pytest.approx(-0.004)  # the slides' own inconsistency (METHODS 5.7) is kept as printed


def test_no_cell_at_all_gives_tables_of_not_run(run_of):
    assert (tables.main(run_of()).frame["miou_mean"] == "not run").all()
    assert isinstance(tables.per_seed(run_of()).frame, pd.DataFrame)
