"""The table of errors against counts made one image at a time; runs with missing seeds or other images say so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from ala.metrics.errors import FLAGS, KINDS
from ala.report import errors
from ala.report.edge_scores import gather
from ala.report.errors import COLUMNS
from ala.report.render import markdown
from ala.report.run import Run
from ala.utils.errors import UserError

NAMES = ["001.A", "002.B", "003.C"]


@pytest.fixture
def scores(fake, tmp_path) -> Path:
    """A copy of the made-up run's scores of the stage `edge`, to be damaged."""
    shutil.copytree(fake.folder / "scores" / "edge", tmp_path / "scores" / "edge")
    return tmp_path / "scores"


@pytest.fixture
def run(built) -> Run:
    return built.run


def errors_table(run: Run, scores: Path) -> pd.DataFrame:
    return errors.table(run, gather(scores, run.settings)).frame


def error_top_table(run: Run, scores: Path) -> pd.DataFrame:
    return errors.top(run, gather(scores, run.settings), NAMES).frame


def rows_of(scores: Path, rule: str) -> list[pd.DataFrame]:
    frames = [pd.read_csv(scores / "edge" / f"seed-{seed}" / "errors.csv") for seed in (0, 1, 2)]
    return [frame[frame["rule"] == rule].set_index("image_id") for frame in frames]


def slow_worst(scores: Path, rule: str) -> list[int]:
    seeds = rows_of(scores, rule)
    mean = {image: sum(frame.loc[image, "iou"] for frame in seeds) / 3 for image in seeds[0].index}
    return sorted(mean, key=lambda image: (mean[image], image))[:5]


def slow_kind(row: pd.Series, rho: float) -> str:
    return "OA" if row["fp"] >= rho * row["fn"] else "IA" if row["fn"] >= rho * row["fp"] else "Others"


def test_counts_are_those_of_the_worst_images_at_the_first_seed(scores, run):
    table = errors_table(run, scores)
    assert list(table.columns) == COLUMNS
    assert [(line["rule"], line["rho"]) for _, line in table.iterrows()] == [
        (rule, rho) for rule in ("mean_std", "fixed", "val") for rho in (1.5, 2, 3)
    ]
    for _, line in table.iterrows():
        worst = slow_worst(scores, line["rule"])
        first = rows_of(scores, line["rule"])[0].loc[worst]
        named = [slow_kind(row, line["rho"]) for _, row in first.iterrows()]
        assert [line[kind] for kind in KINDS] == [named.count(kind) for kind in KINDS]
        assert [line[flag] for flag in FLAGS] == [int(first[flag].sum()) for flag in FLAGS]
        assert (line["n_worst"], line["n_images"], line["n_seeds"], line["seed"]) == (5, 12, 3, 0)
        assert [line[f"paper_{kind}"] for kind in KINDS] == [86, 12, 2]
        assert line["command"] == "dvc repro edge@0 edge@1 edge@2"
    assert len({tuple(line[kind] for kind in KINDS) for _, line in table.iterrows()}) > 1  # the rule or rho matters


def test_one_line_for_each_of_the_worst(scores, run):
    top = error_top_table(run, scores)
    assert top["image_id"].tolist() == slow_worst(scores, "mean_std")
    assert top["miou"].is_monotonic_increasing
    seeds = rows_of(scores, "mean_std")
    for _, line in top.iterrows():
        mine = [frame.loc[line["image_id"]] for frame in seeds]
        assert line["miou"] == pytest.approx(sum(row["iou"] for row in mine) / 3)
        assert line["iou"] == mine[0]["iou"]
        assert line["class"] == NAMES[mine[0]["label"]]
        for rho in (1.5, 2, 3):
            assert line[f"kind_{rho:g}"] == slow_kind(mine[0], rho)
    table = errors_table(run, scores)
    main = table[(table["rule"] == "mean_std") & (table["rho"] == 2)].iloc[0]
    assert [int((top["kind_2"] == kind).sum()) for kind in KINDS] == [main[kind] for kind in KINDS]


def test_the_page_tells_criterion_and_what_it_is_not(scores, run):
    table = errors.table(run, gather(scores, run.settings))
    text = f"{table.caption} {markdown(table, run.rows, run.comparable)}"
    assert text.count("\n| ") == 1 + 9
    assert "| (86) | (12) | (2) | 5 |" in text
    assert "5 of 12 test images" in text
    assert "mean over 3 seeds" in text
    assert "OA: fp ≥ ρ·fn" in text
    assert "profile `mini` has other images, so the counts are not comparable" in text


def test_nothing_run_is_said(run, tmp_path):
    table = errors_table(run, tmp_path)
    assert len(table) == 9
    assert (table[[*KINDS, *FLAGS, "n_worst", "seed"]] == "not run").all(axis=None)
    assert (table["n_seeds"] == 0).all()
    assert (table["paper_OA"] == 86).all()
    assert gather(tmp_path, run.settings).notes == ["`edge` was not run; run `dvc repro edge@0 edge@1 edge@2`"]
    assert error_top_table(run, tmp_path).empty


def test_missing_seeds_and_other_images_are_noted(scores, run):
    shutil.rmtree(scores / "edge" / "seed-0")
    path = scores / "edge" / "seed-2" / "errors.csv"
    rows = pd.read_csv(path)
    gone = rows["image_id"].min()
    rows[rows["image_id"] != gone].to_csv(path, index=False)
    table = errors_table(run, scores)
    assert set(table["n_seeds"]) == {2}
    assert set(table["seed"]) == {1}  # the first that was run
    assert set(table["n_images"]) == {11}
    assert gone not in error_top_table(run, scores)["image_id"].tolist()
    notes = gather(scores, run.settings).notes
    assert "`edge` lacks seed 0; run `dvc repro edge@0`" in notes
    assert any("seeds were scored on different images; the 1 that some lack" in note for note in notes)


def test_scores_of_another_main_model_are_noted(scores, run):
    path = scores / "edge" / "seed-1" / "summary.json"
    path.write_text(path.read_text().replace("aea-true", "aea-false"))
    assert gather(scores, run.settings).notes == [
        "`edge`, seed 1: it fixes maps of `aea-false-sbn-true`, not of the main model; run `dvc repro edge@1`"
    ]


def test_broken_files_are_refused(scores, run):
    (scores / "edge" / "seed-1" / "summary.json").write_text("[1")
    with pytest.raises(UserError, match=r"seed-1/summary\.json is no JSON"):
        gather(scores, run.settings)
    (scores / "edge" / "seed-1" / "errors.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"seed-1/errors\.csv has the columns"):
        gather(scores, run.settings)
