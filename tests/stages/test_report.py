"""The stage on a made-up run: what it writes, twice the same, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.report import main
from tests.report.fake_run import MINE, write_params, write_run

TABLES = ("main", "ablation", "claims", "layers", "paired", "paper", "errors", "error_top", "edge",
          "sensitivity", "common_model", "curve_ends")  # fmt: skip


def report(folder: Path, **changes: object) -> None:
    paths = {name: folder / name for name in ("scores", "models", "maps", "data")}
    main(**{"params": folder / "params.yaml", **paths, "out": folder / "reports", **changes})  # type: ignore[arg-type]


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run with its report, F-CAM's seed 1 and all of ABN missing."""
    folder = tmp_path_factory.mktemp("stage")
    write_run(folder, write_params(folder))
    shutil.rmtree(folder / "scores/fcam/seed-1")
    shutil.rmtree(folder / "scores/abn")
    (folder / "reports/tables").mkdir(parents=True)
    (folder / "reports/tables/stale.csv").write_text("of an earlier version")
    (folder / "reports/notes.md").write_text("somebody else's")
    report(folder)
    return folder


def test_everything_is_written_and_nothing_stale_is_left(done):
    assert set(hashes(done / "reports")) == {
        "report.md", "metrics.json", "provenance.json", "index.html", "notes.md",
        *(f"tables/{name}.{kind}" for name in (*TABLES, "per_seed") for kind in ("csv", "md")),
        *(f"curves/{name}.csv" for name in ("insertion", "deletion", "training", "validation_miou")),
        *(f"figures/{name}.png" for name in ("gallery", "curves", "ablation", "training", "layers", "errors", "data")),
    }  # fmt: skip


def ious(folder: Path) -> pd.Series:
    """IoU by the main rule, by image id."""
    rows = pd.read_csv(folder / "scores.csv").query("protocol == 'majority-mean_std' and metric == 'iou'")
    return rows.set_index("image_id")["value"]


def test_tables_follow_from_the_scores(done):
    main_table = pd.read_csv(done / "reports/tables/main.csv").set_index("method")
    means = [ious(done / f"scores/fcam/seed-{seed}/fcam").mean() for seed in (0, 2)]
    assert main_table.loc["fcam", "n_seeds"] == 2
    assert float(main_table.loc["fcam", "miou_mean"]) == pytest.approx(np.mean(means), rel=1e-14)
    assert float(main_table.loc["fcam", "miou_std"]) == pytest.approx(abs(means[0] - means[1]) / np.sqrt(2), rel=1e-9)
    assert main_table.loc["abn", "miou_mean"] == "not run"
    assert int(main_table.loc["rise", "n_images"]) == 6
    assert int(main_table.loc["ala", "n_images"]) == 12


def test_page_says_what_was_run_and_what_was_not(done):
    text = (done / "reports/report.md").read_text()
    assert text.startswith("# Report\n\n**What was run:** profile `mini`")
    assert "`fcam` lacks seed 1; run `dvc repro score@fcam-1`" in text
    assert "`abn` was not run" in text
    assert "Zero-shot accuracy of the frozen encoder on the test images: 0.950." in text
    links = re.findall(r"\]\(((?!http)[^)]+)\)", text)
    assert {link for link in links if not (done / "reports" / link).is_file()} == set()
    for figure in (done / "reports/figures").iterdir():
        assert f"(figures/{figure.name})" in text
    assert str(done) not in text


def test_claims_of_missing_methods_are_not_run(done):
    table = pd.read_csv(done / "reports/tables/claims.csv").set_index("claim")
    verdict = table["verdict"]
    assert verdict["ABN better than centred Gaussian in mean IoU"] == "not run"
    assert verdict["ALA better than F-CAM in mean IoU"] == "cannot be told"  # two seeds in common
    line = table.loc["(iii) better than (i) in mean IoU"]
    assert line["difference"] > 0
    assert line["p"] < 0.05  # two degrees of freedom for three classes: enough alone, not among all claims
    assert line["verdict"] == ("holds" if line["p_holm"] < 0.05 else "cannot be told")
    assert verdict["ID = Insertion − Deletion, image by image"] == "arithmetic"


def test_metrics_and_curves_are_plain(done):
    metrics = json.loads((done / "reports/metrics.json").read_text())
    assert set(metrics) == {"ala", "fcam", "rise", MINE, "ablation", "encoder"}
    assert set(metrics["ala"]) == {"miou_common", "insertion", "deletion", "id", "accuracy"}
    assert set(metrics["ablation"]) == {"i", "ii", "iii", "iv"}
    assert set(metrics["ablation"]["iii"]) == {"miou"}
    ids = ious(done / "scores/rise/seed-0/rise").index
    assert len(ids) == 6
    ours = [ious(done / f"scores/ala+i+ii+iii+iv/seed-{seed}/aea-true-sbn-true") for seed in (0, 1, 2)]
    means = [values[values.index.isin(ids)].mean() for values in ours]
    assert metrics["ala"]["miou_common"] == pytest.approx(np.mean(means))
    insertion = pd.read_csv(done / "reports/curves/insertion.csv")
    assert list(insertion.columns) == ["method", "seed", "share", "probability"]
    assert set(insertion["method"]) == {"ala", "fcam", "rise", MINE, "full", "center", "noise", "box"}
    assert insertion.groupby(["method", "seed"])["share"].agg(["min", "max"]).drop_duplicates().to_numpy().tolist() == [
        [0, 1]
    ]
    training = pd.read_csv(done / "reports/curves/training.csv")
    assert len(training) == 5 * 3 * 12
    miou = pd.read_csv(done / "reports/curves/validation_miou.csv")
    ours = miou[miou["method"] == "aea-true-sbn-true"]
    assert sorted(ours["epoch"].unique()) == [1, 3, 5, 7, 9, 11]  # the others are off


def test_a_second_run_writes_the_same_bytes(done):
    before = hashes(done / "reports")
    report(done)
    assert hashes(done / "reports") == before


def test_figures_are_small_and_hold_no_date(done):
    for path in (done / "reports/figures").iterdir():
        with Image.open(path) as image:
            assert max(image.size) < 1600, path
            assert "Software" not in image.info
            corner = (image.width - 1, 0)
            assert path.name == "data.png" or image.convert("RGB").getpixel(corner) == (255, 255, 255)
        assert path.stat().st_size < 1_000_000


def test_readme_flag_changes_the_readme_only(done):
    readme = done / "README.md"
    readme.write_text("# A\n<!-- generated: main table -->\n<!-- end generated -->\n")
    before = hashes(done / "reports")
    report(done, readme=readme)
    assert "| ALA | " in readme.read_text()
    assert hashes(done / "reports") == before


def test_no_scores_is_one_sentence_and_exit_code_2(done, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        report(done, scores=tmp_path / "nowhere", out=tmp_path / "reports")
    assert left.value.code == 2
    assert re.fullmatch(r"error: .*nowhere holds no scores .*run `dvc repro` first\n", capsys.readouterr().err)
    assert not (tmp_path / "reports").exists()


def test_an_error_leaves_the_old_report_whole(done, tmp_path, capsys):
    before = hashes(done / "reports")
    with pytest.raises(SystemExit):
        report(done, maps=tmp_path)  # the gallery has no maps
    assert "does not exist; run the score stage" in capsys.readouterr().err
    assert hashes(done / "reports") == before
