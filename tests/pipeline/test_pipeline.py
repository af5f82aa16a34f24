"""The whole pipeline in a scratch clone: what it writes, what a second run does, what a switch re-runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from ala.config import load
from ala.contracts.scores import load as load_scores
from ala.contracts.scores import wide

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]

COLUMNS = [
    "n_seeds", "n_images", "n_common", "n_perturbed", "n_perturbed_common",
    "accuracy_mean", "accuracy_std",
    "miou_common_mean", "miou_common_std", "miou_mean", "miou_std", "miou_fixed_common_mean", "miou_fixed_mean",
    "miou_otsu_common_mean", "miou_otsu_mean", "miou_val_common_mean", "miou_val_mean",
    "insertion_common_mean", "insertion_common_std", "insertion_mean", "insertion_std",
    "deletion_common_mean", "deletion_common_std", "deletion_mean", "deletion_std",
    "id_common_mean", "id_common_std", "id_mean", "id_std",
    "paper_miou", "paper_insertion", "paper_deletion", "paper_id",
    "command",
]  # fmt: skip


@pytest.fixture(scope="module")
def main(scratch):
    return pd.read_csv(scratch.folder / "reports/tables/main.csv").set_index("method")


@pytest.fixture(scope="module")
def ablation(scratch):
    return pd.read_csv(scratch.folder / "reports/tables/ablation.csv").set_index("row")


def test_main_table_keeps_its_contract(main):
    assert list(main.columns) == COLUMNS
    assert list(main.index) == ["ala", "fcam", "rise", "abn", "full", "center", "noise", "box", "zero_shot"]
    zero_shot, scored = main.loc["zero_shot"], main.drop(index="zero_shot")
    assert 0 <= float(zero_shot["accuracy_mean"]) <= 1
    assert zero_shot[["n_seeds", "miou_mean", "insertion_mean", "paper_miou"]].isna().all()
    assert (scored["n_seeds"].astype(int) == 2).all()
    numbers = scored[[column for column in COLUMNS if column.endswith("_mean")]].astype(float)
    assert np.isfinite(numbers).all().all()
    shares = numbers.drop(columns=["id_mean", "id_common_mean"])
    assert ((shares >= 0) & (shares <= 1)).all().all()
    assert set(scored["n_common"].astype(int)) == {2 * 4}  # the images of RISE, which has the fewest


def test_ablation_table_keeps_its_contract(ablation, main):
    assert list(ablation.columns) == ["aea", "sbn", *COLUMNS]
    assert list(ablation.index) == ["i", "ii", "iii", "iv"]
    switches = list(zip(ablation["aea"].astype(str).str.lower(), ablation["sbn"].astype(str).str.lower(), strict=True))
    assert switches == [("true", "false"), ("false", "true"), ("true", "true"), ("false", "false")]
    shared = [column for column in COLUMNS if column.endswith(("_mean", "_std")) and "_common_" not in column]
    assert ablation.loc["iii", shared].tolist() == main.loc["ala", shared].tolist()  # one training, one set of scores


def test_model_free_rows_are_what_the_masks_alone_say(scratch, main):
    """`full` and `box` need no model: their IoU is recomputed here from the files on disk, at full resolution."""
    dataset, size = scratch.folder / "data/dataset", 80
    test = pd.read_csv(scratch.folder / "data/splits/test.csv")
    full = []
    masks = pd.read_csv(dataset / "index.csv").set_index("image_id")["mask"]
    for row in test.itertuples():
        mask = Image.open(dataset / "masks" / masks[row.image_id]).convert("L").resize((size, size), Image.NEAREST)
        full.append((np.asarray(mask) > 127).mean())
    assert float(main.loc["full", "miou_mean"]) == pytest.approx(np.mean(full), abs=1e-9)
    assert float(main.loc["box", "miou_mean"]) > float(main.loc["full", "miou_mean"])


def test_tables_are_the_means_of_the_per_image_scores(scratch, main):
    per_seed = [
        wide(load_scores(scratch.folder / f"scores/fcam/seed-{seed}/fcam/scores.csv"))[
            ["iou_mean_std", "insertion", "id"]
        ].mean()
        for seed in (0, 1)
    ]
    means = pd.DataFrame(per_seed)
    assert float(main.loc["fcam", "miou_mean"]) == pytest.approx(means["iou_mean_std"].mean())
    assert float(main.loc["fcam", "miou_std"]) == pytest.approx(means["iou_mean_std"].std(ddof=1))
    assert float(main.loc["fcam", "insertion_mean"]) == pytest.approx(means["insertion"].mean())
    assert float(main.loc["fcam", "id_mean"]) == pytest.approx(means["id"].mean())


def test_split_is_the_rule(scratch):
    counts = {name: len(pd.read_csv(scratch.folder / f"data/splits/{name}.csv")) for name in ("train", "val", "test")}
    assert counts == {"train": 20, "val": 8, "test": 12}


def test_report_begins_with_what_was_run(scratch):
    text = (scratch.folder / "reports/report.md").read_text()
    assert "say nothing about other data" in text[:2500]
    for figure in (scratch.folder / "reports/figures").iterdir():
        assert figure.name in text, f"{figure.name} is not shown in the report"


def test_the_report_holds_every_table_its_twin_and_one_page(scratch):
    folder = scratch.folder / "reports"
    names = {path.stem for path in (folder / "tables").glob("*.csv")}
    assert names >= {
        "main", "ablation", "claims", "sensitivity", "common_model", "errors", "layers", "paired", "paper", "edge",
    }  # fmt: skip
    for name in names - {"per_seed"}:
        assert (folder / "tables" / f"{name}.md").stat().st_size > 200, name
    assert (folder / "index.html").stat().st_size < 8_000_000
    record = json.loads((folder / "provenance.json").read_text())
    assert record["results"]["profile"] == "mini"
    assert len(record["results"]["models"]) == 6 * 2  # four variants, ABN, F-CAM; two seeds
    assert {"train@0", "score@rise-1", "score@fcam-0", "layers@1", "edge@0", "encoder"} <= record["cost"].keys()
    assert all(entry["seconds"] > 0 and entry["peak_memory_mb"] > 20 for entry in record["cost"].values())
    assert record["cost"]["score@rise-0"]["forwards"] >= 16 * 8  # masks times images


def test_nothing_of_this_machine_is_in_the_reports(scratch):
    for file in (scratch.folder / "reports").rglob("*"):
        if file.suffix in {".md", ".csv", ".json", ".html"}:
            assert str(scratch.folder) not in file.read_text()
            assert str(Path.home()) + "/" not in file.read_text()


def test_a_second_run_has_nothing_to_do(scratch):
    done = scratch.run("dvc", "repro")
    assert scratch.stages_run(done) == set()
    assert "up to date" in done.stdout
    assert "up to date" in scratch.run("dvc", "status").stdout


def test_a_forced_run_writes_the_same_bytes(scratch):
    """Every out of every stage has the same hash when all is run again: no clock, no order, no chance."""
    before = yaml.safe_load((scratch.folder / "dvc.lock").read_text())["stages"]
    scratch.run("dvc", "repro", "--force", "--no-run-cache")
    after = yaml.safe_load((scratch.folder / "dvc.lock").read_text())["stages"]
    assert before.keys() == after.keys()
    changed = [
        (stage, out["path"])
        for stage in before
        for out, again in zip(before[stage]["outs"], after[stage]["outs"], strict=True)
        if out["md5"] != again["md5"]
    ]
    assert changed == []


CELLS = ["ala+i+ii+iii+iv", "fcam", "rise", "abn", "full+center+noise+box"]


def scored(*cells: str, seeds: tuple[int, ...] = (0, 1)) -> set[str]:
    return {f"score@{cell}-{seed}" for cell in cells for seed in seeds}


def undo(scratch) -> None:
    """Put settings, lock, report and outs back to those of the first run."""
    scratch.run("git", "checkout", "-q", "--", ".")
    scratch.run("dvc", "checkout", "-q")


def test_a_method_more_runs_its_own_cells_and_the_report(scratch):
    before = pd.read_csv(scratch.folder / "reports/tables/main.csv").set_index("method")
    methods = ",".join([*CELLS, "rise-on-fcam"])
    done = scratch.run("dvc", "exp", "run", "-S", f"methods=[{methods}]", "--name", "one-more")
    after = pd.read_csv(scratch.folder / "reports/tables/main.csv").set_index("method")
    undo(scratch)
    assert scratch.stages_run(done) == {
        "check", "methods@0", "methods@1", *scored("rise-on-fcam"), "report",
    }  # fmt: skip
    assert set(after.index) == {*before.index, "rise-on-fcam"}
    assert after.loc[before.index, "miou_mean"].equals(before["miou_mean"])


def test_a_seed_more_runs_that_seed_and_the_report(scratch):
    done = scratch.run("dvc", "exp", "run", "-S", "seeds=[0,1,3]", "--name", "three-seeds")
    undo(scratch)
    assert scratch.stages_run(done) == {
        "check", "report", *scored(*CELLS, seeds=(3,)),
        *(f"{name}@3" for name in ("train", "train_abn", "fcam", "methods", "layers", "edge")),
    }  # fmt: skip


def test_an_executor_decides_nothing(scratch):
    done = scratch.run("dvc", "exp", "run", "-S", "executor={kind: processes, workers: 2}", "--name", "pool")
    undo(scratch)
    assert scratch.stages_run(done) == set()


def test_aea_switch_reruns_only_what_it_touches(scratch, main, ablation):
    """Nothing is trained; ABN and F-CAM are scored on the common model again, which is the main one."""
    before = (scratch.folder / "reports/tables/ablation.csv").read_bytes()
    done = scratch.run("dvc", "exp", "run", "-S", "aea=false", "--name", "no-aea")
    assert scratch.stages_run(done) == {
        "check", "report", *scored(*CELLS), *(f"{name}@{seed}" for name in ("methods", "edge") for seed in (0, 1)),
    }  # fmt: skip
    assert (scratch.folder / "reports/tables/ablation.csv").read_bytes() == before
    switched = pd.read_csv(scratch.folder / "reports/tables/main.csv").set_index("method")
    assert switched.loc["ala", "miou_mean"] == ablation.loc["ii", "miou_mean"]
    assert switched.loc["fcam", "miou_mean"] == main.loc["fcam", "miou_mean"]

    difference = json.loads(scratch.run("dvc", "metrics", "diff", "--json", "HEAD").stdout)
    assert any("ala" in key for key in difference["reports/metrics.json"])
    assert "no-aea" in scratch.run("dvc", "exp", "show", "--csv").stdout
    scratch.run("dvc", "plots", "show")
    undo(scratch)


def test_extensions_become_rows_of_the_ablation(scratch):
    before = pd.read_csv(scratch.folder / "reports/tables/ablation.csv").set_index("row")
    targets = ["extend@0-lora", "extend@0-all-taps", "report"]
    done = scratch.run("dvc", "exp", "run", "-S", "extensions=[lora,all-taps]", "--name", "more", "-s", *targets)
    assert scratch.stages_run(done) == set(targets)
    after = pd.read_csv(scratch.folder / "reports/tables/ablation.csv").set_index("row")
    scratch.run("git", "checkout", "-q", "--", ".")
    scratch.run("dvc", "checkout", "-q")
    assert list(after.index) == ["i", "ii", "iii", "iv", "lora", "all-taps"]
    pd.testing.assert_frame_equal(after.loc[before.index], before, check_dtype=False)
    assert list(after.loc[["lora", "all-taps"], "n_seeds"]) == [1, 1]
    assert after["miou_mean"].astype(float).nunique() == 6  # three models more, each with maps of its own


@pytest.mark.parametrize(
    ("change", "message"),
    [("aea=off", "aea"), ("profiles.mini.train.lr=fast", "profiles.mini.train.lr"), ("profile=huge", "huge")],
)
def test_a_bad_switch_is_refused_in_words(scratch, change, message):
    done = scratch.run("dvc", "exp", "run", "-S", change, check=False)
    said = done.stdout + done.stderr
    scratch.run("git", "checkout", "-q", "--", ".")
    assert done.returncode != 0
    assert message in said
    assert "Traceback" not in said


def test_a_merge_conflict_in_the_lock_is_reported_and_one_side_of_it_is_enough(scratch):
    lock = scratch.folder / "dvc.lock"
    sound = lock.read_bytes()
    try:
        lock.write_bytes(b"<<<<<<< HEAD\n" + sound + b"=======\n" + sound + b">>>>>>> theirs\n")
        done = scratch.run("dvc", "repro", check=False)
        assert done.returncode != 0
        assert "'./dvc.lock' is invalid (possible merge conflicts)" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
    finally:
        scratch.run("git", "checkout", "--", "dvc.lock")  # the remedy in docs/errors.md
    assert lock.read_bytes() == sound
    assert scratch.stages_run(scratch.run("dvc", "repro")) == set()


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_lock_that_a_kill_cut_short_costs_the_report_alone(scratch, share):
    lock = scratch.folder / "dvc.lock"
    sound = lock.read_bytes()
    lock.write_bytes(sound[: sound.index(b"path:", int(share * len(sound)))] if share else b"")
    done = scratch.run("dvc", "repro", check=False)
    assert "'./dvc.lock' " in done.stdout + done.stderr
    lock.unlink()  # the remedy in docs/errors.md, as if it had not been committed
    done = scratch.run("dvc", "repro")
    before, after = (yaml.safe_load(text)["stages"] for text in (sound, lock.read_bytes()))
    scratch.run("git", "checkout", "-q", "--", ".")
    assert scratch.stages_run(done) == {"report"}
    assert before.pop("report").keys() == after.pop("report").keys()  # its text tells that the lock was changed
    assert after == before


def test_a_small_learning_rate_stays_a_number(scratch):
    """DVC hands `1e-5` on as text; the settings take it for the number that it is."""
    scratch.run("dvc", "exp", "run", "-S", "profiles.mini.train.lr=1e-5", "--name", "small-lr", "split")
    changed = load(scratch.folder / "params.yaml").active.train.lr
    scratch.run("git", "checkout", "-q", "--", ".")
    assert changed == 1e-5
