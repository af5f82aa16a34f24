"""Protocols side by side: means over the files they come from, ranks, and which orders survive."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ala.metrics.protocols import LAB

from ala.contracts import seal
from ala.metrics.curves import Curves, area
from ala.report import sensitivity, sensitivity_page
from ala.report.gather import gather
from ala.report.statistics import difference, holm
from ala.utils.errors import UserError


@pytest.fixture(scope="module")
def run(fake):
    return gather(fake.settings, fake.folder / "scores", fake.folder / "models", fake.folder / "data")


@pytest.fixture(scope="module")
def found(run, fake):
    return sensitivity.gather(run, fake.folder / "scores")


@pytest.fixture(scope="module")
def images(run, found):
    return sensitivity.per_image(run, found)


@pytest.fixture(scope="module")
def seeds(run, found, images):
    return sensitivity.per_seed(run, found, images)


@pytest.fixture(scope="module")
def frame(run, seeds):
    return sensitivity.table(run, seeds).set_index(["protocol", "metric", "method"]).sort_index()


def test_every_method_stands_under_every_protocol(frame):
    protocols = {"official-predicted", "official-true", *LAB}
    for metric in ("insertion", "deletion", "id"):
        assert set(frame.xs(metric, level="metric").index.get_level_values("protocol")) == protocols
        for protocol in protocols:
            methods = set(frame.loc[protocol, metric].index)
            assert methods == set(sensitivity.SHOWN)
    rules = ("mean_std", "fixed", "otsu", "val")
    ious = {f"{truth}-{rule}" for truth in ("majority", "anyone") for rule in rules}
    assert set(frame.xs("miou", level="metric").index.get_level_values("protocol")) == ious
    metrics = frame.xs("localisation", level="protocol").index.get_level_values("metric")
    assert set(metrics) == {"maxboxacc", "maxboxaccv2", "pxap", "pointing", "energy"}


def test_means_are_over_photos_then_seeds(frame, fake):
    means = []
    for seed in (0, 1, 2):
        rows = pd.read_csv(fake.folder / f"scores/protocols/seed-{seed}/lab.csv")
        mine = rows[(rows["method"] == "fcam") & (rows["protocol"] == "lab-blur-q3-true")]
        means.append(mine["id"].mean())
    line = frame.loc["lab-blur-q3-true", "id", "fcam"]
    assert line["mean"] == pytest.approx(np.mean(means))
    assert line["std"] == pytest.approx(np.std(means, ddof=1))
    assert line["command"] == "dvc repro protocols@0 protocols@1 protocols@2"
    assert line["scores"].split()[1] == "scores/protocols/seed-1/lab.csv"


def test_iou_is_compared_on_the_photos_that_all_methods_share(frame, run):
    """RISE explains half of the photos here; F-CAM's IoU on the others must not enter a comparison with it."""
    for row in ("fcam", "rise"):
        means = [cell.perturbed["iou_otsu"].mean() for cell in run.of(row)]
        assert frame.loc["majority-otsu", "miou", row]["mean"] == pytest.approx(np.mean(means))
    assert np.mean([cell.scores["iou_otsu"].mean() for cell in run.of("fcam")]) != pytest.approx(
        frame.loc["majority-otsu", "miou", "fcam"]["mean"]
    )
    counts = frame.xs("miou", level="metric")["n_images"]
    assert counts.min() == counts.max()


def test_methods_of_a_protocol_stay_on_common_images_when_one_lacks_some(run, found):
    """A method that lost half of its curves must not be compared with others on all of theirs."""
    broken = run.of("abn")[1]
    lost = broken.perturbed["image_id"].iloc[::2]
    scores = broken.scores.copy()
    scores.loc[scores["image_id"].isin(lost), ["insertion", "deletion", "id"]] = np.nan
    cells = run.cells | {(broken.method, broken.seed): replace(broken, scores=scores)}
    partly = replace(run, cells=cells)
    seeds = sensitivity.per_seed(partly, found, sensitivity.per_image(partly, found))
    at = seeds[(seeds["protocol"] == "official-predicted") & (seeds["metric"] == "insertion")]
    assert set(at[at["seed"] == broken.seed]["n_images"]) == {3}
    assert set(at[at["seed"] != broken.seed]["n_images"]) == {6}
    fcam = run.of("fcam")[1].perturbed
    left = fcam[~fcam["image_id"].isin(lost)]["insertion"].mean()
    mine = at[(at["method"] == "fcam") & (at["seed"] == broken.seed)]["value"].item()
    assert mine == pytest.approx(left) != pytest.approx(fcam["insertion"].mean())


def test_no_rank_and_no_order_between_other_numbers_of_images(run, found):
    """MaxBoxAcc is no mean over images, so it cannot be restricted to common ones."""
    whole = {key: dict(values) for key, values in found.whole.items()}
    whole["fcam", 0]["n_images"] -= 1
    other = replace(found, whole=whole)
    seeds = sensitivity.per_seed(run, other, sensitivity.per_image(run, other))
    frame = sensitivity.table(run, seeds)
    ranks = frame[frame["metric"] == "maxboxacc"].set_index("method")["rank"]
    assert ranks.isna().all()
    assert frame[frame["metric"] == "pointing"]["rank"].notna().any()
    survived = sensitivity.survival(run, sensitivity.per_image(run, other))
    page = sensitivity_page.sensitivity(run, frame, survived)
    line = next(line for line in page.splitlines() if line.startswith("| maxboxacc |"))
    assert "(5 images)" in line
    assert "**" not in line


def test_the_true_class_has_its_own_curves(frame, fake):
    areas = [area(Curves.load(fake.folder / f"scores/fcam/seed-{seed}/true_class.npz").insertion).mean()
             for seed in (0, 1, 2)]  # fmt: skip
    assert frame.loc["official-true", "insertion", "fcam"]["mean"] == pytest.approx(np.mean(areas))


def test_ranks_are_among_explainers_and_less_deletion_is_better(frame):
    insertion, deletion = (frame.loc["lab-zero-none-true", metric]["rank"] for metric in ("insertion", "deletion"))
    assert insertion["ala"] == deletion["ala"] == 1  # quality 0.9
    assert insertion["rise"] == deletion["rise"] == 4
    assert pd.isna(insertion["box"])


def test_survival_counts_the_orders_that_the_rule_calls(run, images):
    table = sensitivity.survival(run, images).set_index(["better", "worse", "metric"])
    line = table.loc["ala", "fcam", "localisation"]
    assert (line["n_protocols"], line["agree"], line["reverse"], line["open"]) == (2, 2, 0, 0)  # pointing, energy
    assert table.loc["fcam", "rise", "miou"]["n_protocols"] == 8
    turned = {key: -values if key[2] == "ala" else values for key, values in images.items() if key[1] == "energy"}
    line = sensitivity.survival(run, turned).set_index(["better", "worse", "metric"]).loc["ala", "fcam", "localisation"]
    assert (line["n_protocols"], line["reverse"]) == (1, 1)
    alone = {key: values for key, values in images.items() if key[3] == 0}
    line = sensitivity.survival(run, alone)
    assert line["agree"].sum() == 0  # one seed has no spread
    assert line["open"].sum() == table["n_protocols"].sum()


def test_survival_is_corrected_over_the_protocols_of_a_line(run, images):
    """Order, p and count of one line, by hand; less Deletion is better."""
    labels = run.of("ala")[0].scores.set_index("image_id")["label"]
    names = [key[0] for key in images if key[1:] == ("deletion", "ala", 0)]
    tests = []
    for name in names:
        both = [np.stack([images[name, "deletion", row, seed].sort_index() for seed in (0, 1, 2)])
                for row in ("fcam", "ala")]  # fmt: skip
        ids = sorted(images[name, "deletion", "ala", 0].index)
        tests.append(difference(*both, labels.loc[ids].to_numpy()))
    small = holm([test.p for test in tests]) < 0.05
    line = sensitivity.survival(run, images).set_index(["better", "worse", "metric"]).loc["ala", "fcam", "deletion"]
    assert line["n_protocols"] == len(names) == 10
    assert line["agree"] == sum(bool(called) and test.mean > 0 for called, test in zip(small, tests, strict=True))
    assert line["reverse"] == sum(bool(called) and test.mean < 0 for called, test in zip(small, tests, strict=True))


def test_common_model(run, found):
    table = sensitivity.common_model(run, found).set_index("method")
    fcam = found.common[found.common["method"] == "fcam"].groupby("seed")["id"].mean()
    assert table.loc["fcam", "id_common_mean"] == pytest.approx(fcam.mean())
    own = np.mean([cell.perturbed["id"].mean() for cell in run.of("fcam")])
    assert table.loc["fcam", "id_own_mean"] == pytest.approx(own)
    for row in ("ala", "rise", "center"):  # the main model is theirs
        assert table.loc[row, "id_common_mean"] == table.loc[row, "id_own_mean"]


def test_a_photo_without_a_score_on_the_common_model_leaves_both_means(run, found):
    """Else the two columns of a row would be over different photos."""
    lost = found.common[found.common["method"] == "fcam"]["image_id"].iloc[0]
    kept = found.common[(found.common["method"] != "fcam") | (found.common["image_id"] != lost)]
    table = sensitivity.common_model(run, replace(found, common=kept)).set_index("method")
    own = [cell.perturbed.set_index("image_id")["id"].drop(lost).mean() for cell in run.of("fcam")]
    assert table.loc["fcam", "id_own_mean"] == pytest.approx(np.mean(own))
    assert table.loc["fcam", "n_images"] == len(run.of("fcam")[0].perturbed) - 1


def test_maps_without_energy_are_named(run, fake, tmp_path):
    shutil.copytree(fake.folder / "scores", tmp_path / "scores")
    folder = tmp_path / "scores/protocols/seed-1"
    rows = pd.read_csv(folder / "localisation.csv")
    rows.loc[(rows["method"] == "abn") & (rows.index % 2 == 0), "energy"] = np.nan
    lost = int(rows["energy"].isna().sum())
    rows.to_csv(folder / "localisation.csv", index=False)
    seal.seal(folder)
    notes = sensitivity.gather(run, tmp_path / "scores").notes
    assert notes == [f"`abn`, seed 1: {lost} maps are 0 everywhere; their energy is left out"]


def test_pages(run, frame, images, found):
    text = sensitivity_page.sensitivity(run, frame.reset_index(), sensitivity.survival(run, images))
    assert "| ALA better than F-CAM | Localisation | 2 | 2 | 0 | 0 | survives every protocol |" in text
    assert "corrected by Holm over the protocols of one line" in text
    assert "| lab-blur-q3-true | **" in text
    assert "| F-CAM | 3 |" in sensitivity_page.common_model(run, sensitivity.common_model(run, found))


def test_a_method_without_a_label_has_its_column(run, frame, images):
    table = frame.reset_index()
    table["method"] = table["method"].replace("rise", "mine")
    text = sensitivity_page.sensitivity(run, table, sensitivity.survival(run, images))
    heads = [line for line in text.splitlines() if line.startswith("| protocol | ")]
    assert len(heads) == 4
    assert all(head.endswith(" | mine |") and "RISE" not in head for head in heads)


def test_missing_and_edited_files(run, fake, tmp_path):
    shutil.copytree(fake.folder / "scores", tmp_path / "scores")
    shutil.rmtree(tmp_path / "scores/protocols/seed-0")
    some = sensitivity.gather(run, tmp_path / "scores")
    assert some.notes == ["`protocols` lacks seed 0; run `dvc repro protocols@0`"]
    seeds = sensitivity.per_seed(run, some, sensitivity.per_image(run, some))
    assert set(seeds.query("protocol == 'lab-zero-q3-true'")["seed"]) == {1, 2}
    with (tmp_path / "scores/protocols/seed-1/lab.csv").open("a") as file:
        file.write("x")
    with pytest.raises(UserError, match=r"lab\.csv was changed .* run `dvc repro protocols@1`"):
        sensitivity.gather(run, tmp_path / "scores")
    shutil.rmtree(tmp_path / "scores/protocols")
    nothing = sensitivity.gather(run, tmp_path / "scores")
    assert nothing.notes == ["`protocols` was not run; run `dvc repro protocols@0 protocols@1 protocols@2`"]
