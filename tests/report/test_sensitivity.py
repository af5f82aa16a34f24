"""Protocols side by side: means over the files they come from, ranks, and which orders survive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ala.report import sensitivity
from ala.report.run import Key
from ala.report.statistics import difference, holm
from ala.report.summary import means
from tests.report.fake_run import LAB, MINE

INDEX = ["protocol", "metric", "method"]


@pytest.fixture(scope="module")
def run(built):
    return built.run


@pytest.fixture(scope="module")
def frame(built):
    return built.content.tables["sensitivity"].frame.set_index(INDEX).sort_index()


def table(run):
    return sensitivity.table(run).frame.set_index(INDEX).sort_index()


def without(run, method, seed, images):
    """The run without the official scores of some images for one method and seed."""
    lost = {key: values[~values.index.isin(images)] for key, values in run.scores.items()
            if key[:3] == (method, seed, "official-predicted")}  # fmt: skip
    return replace(run, scores=run.scores | lost)


def test_every_method_is_under_every_protocol(frame):
    protocols = {"official-predicted", "official-true", *LAB}
    for metric in ("insertion", "deletion", "id"):
        assert set(frame.xs(metric, level="metric").index.get_level_values("protocol")) == protocols
        for protocol in protocols:
            assert set(frame.loc[protocol, metric].index) == {
                "ala", "fcam", "rise", "abn", MINE, "full", "center", "noise", "box", "i", "ii", "iv"
            }  # fmt: skip
    rules = ("mean_std", "fixed", "otsu", "val")
    ious = {f"{truth}-{rule}" for truth in ("majority", "anyone") for rule in rules}
    assert set(frame.xs("miou", level="metric").index.get_level_values("protocol")) == ious
    metrics = frame.xs("localisation", level="protocol").index.get_level_values("metric")
    assert set(metrics) == {"maxboxacc", "maxboxaccv2", "pxap", "pointing", "energy"}


def test_means_are_over_images_then_seeds(frame, fake):
    found = []
    for seed in (0, 1, 2):
        rows = pd.read_csv(fake.folder / f"scores/fcam/seed-{seed}/fcam/scores.csv")
        found.append(rows.query("protocol == 'lab-blur-q3-true' and metric == 'id'")["value"].mean())
    line = frame.loc["lab-blur-q3-true", "id", "fcam"]
    assert line["mean"] == pytest.approx(np.mean(found))
    assert line["std"] == pytest.approx(np.std(found, ddof=1))
    assert line["command"] == "dvc repro score@fcam-0 score@fcam-1 score@fcam-2"
    assert line["scores"].split()[1] == "scores/fcam/seed-1/fcam/scores.csv"


def test_iou_is_compared_on_the_images_that_all_methods_share(frame, run):
    """RISE explains half of the images here; F-CAM's IoU on the others must not enter a comparison with it."""
    shared = {seed: frozenset(values.index) for seed, values in run.of("rise", "miou").items()}
    own = run.of("fcam", "miou_otsu")
    assert frame.loc["majority-otsu", "miou", "fcam"]["mean"] == pytest.approx(means(own, shared).mean())
    assert means(own).mean() != pytest.approx(means(own, shared).mean())
    assert frame.xs("miou", level="metric")["n_images"].unique().tolist() == [6]


def test_methods_of_a_protocol_stay_on_common_images_when_one_lacks_some(run):
    """A method that lost half of its curves must not be compared with others on all of theirs."""
    insertion = run.of("abn", "insertion")[1]
    line = table(without(run, "abn", 1, insertion.index[::2])).loc["official-predicted", "insertion", "fcam"]
    assert line["n_images"] == 3
    own = run.of("fcam", "insertion")
    left = {seed: values.drop(insertion.index[::2]) if seed == 1 else values for seed, values in own.items()}
    assert line["mean"] == pytest.approx(means(left).mean()) != pytest.approx(means(own).mean())


def test_no_rank_between_other_numbers_of_images(run, frame):
    """MaxBoxAcc is no mean over images, so it cannot be restricted to common ones."""
    few = {key: values.iloc[1:] for key, values in run.scores.items() if key[:3] == ("fcam", 0, "localisation")}
    other = replace(run, scores=run.scores | few)
    assert table(other).xs("maxboxacc", level="metric")["rank"].isna().all()
    assert table(other).xs("pointing", level="metric")["rank"].notna().any()
    text = sensitivity.twin(other, sensitivity.table(other))
    line = next(line for line in text.splitlines() if line.startswith("| maxboxacc |"))
    assert "(5 images)" in line
    assert "**" not in line


def test_ranks_are_among_explainers_and_less_deletion_is_better(frame):
    insertion, deletion = (frame.loc["lab-zero-none-true", metric]["rank"] for metric in ("insertion", "deletion"))
    assert insertion["ala"] == deletion["ala"] == 1  # quality 0.9
    assert insertion["rise"] == deletion["rise"] == 5
    assert pd.isna(insertion["box"])


def survived(run):
    return sensitivity.survival(run).frame.set_index(["order on the slides", "metric"])


def test_survival_counts_the_orders_that_the_rule_calls(run):
    found = survived(run)
    line = found.loc["ALA better than F-CAM", "Localisation"]
    assert (line["n_protocols"], line["agree"], line["reverse"], line["open"]) == (2, 2, 0, 0)  # pointing, energy
    assert line["so"] == "survives every protocol"
    kinds = list(sensitivity.KINDS)
    assert found.loc[("F-CAM better than RISE", kinds[0]), "n_protocols"] == 8
    turned = {key: -values for key, values in run.scores.items() if key.method == run.rows["ala"].method}
    line = survived(replace(run, scores=run.scores | turned)).loc["ALA better than F-CAM", "Localisation"]
    assert (line["reverse"], line["so"]) == (2, "reversed under every protocol")
    alone = survived(replace(run, summaries={key: value for key, value in run.summaries.items() if key[1] == 0}))
    assert alone["agree"].sum() == 0  # one seed has no spread
    assert alone["open"].sum() == found["n_protocols"].sum()


def test_survival_is_corrected_over_the_protocols_of_a_line(run):
    """Order, p and count of one line, by hand; less Deletion is better."""
    labels, names = run.labels("ala"), ["official-predicted", "official-true", *LAB]
    tests = []
    for name in names:
        both = [np.stack([values.to_numpy() for values in run.under(row, name, "deletion").values()])
                for row in ("fcam", "ala")]  # fmt: skip
        ids = run.under("ala", name, "deletion")[0].index
        tests.append(difference(*both, labels.loc[ids].to_numpy()))
    small = holm([test.p for test in tests]) < 0.05
    line = survived(run).loc["ALA better than F-CAM", "Deletion (less is better)"]
    assert line["n_protocols"] == len(names) == 10
    assert line["agree"] == sum(bool(called) and test.mean > 0 for called, test in zip(small, tests, strict=True))
    assert line["reverse"] == sum(bool(called) and test.mean < 0 for called, test in zip(small, tests, strict=True))


def test_common_model(run, built):
    frame = built.content.tables["common_model"].frame.set_index("method")
    assert frame.loc["fcam", "id_common_mean"] == pytest.approx(
        means(run.under("fcam", "common-predicted", "id")).mean()
    )
    assert frame.loc["fcam", "id_own_mean"] == pytest.approx(means(run.of("fcam", "id")).mean())
    for row in ("ala", "rise", "center", MINE):  # the main model is theirs
        assert frame.loc[row, "id_common_mean"] == frame.loc[row, "id_own_mean"]


def test_an_image_without_a_score_on_the_common_model_leaves_both_means(run):
    """Else the two columns of a row would be over different images."""
    lost = run.of("fcam", "id")[0].index[0]
    fewer = {key: values.drop(lost) for key, values in run.scores.items()
             if (key.method, key.protocol) == ("fcam", "common-predicted")}  # fmt: skip
    frame = sensitivity.common_model(replace(run, scores=run.scores | fewer)).frame.set_index("method")
    own = {seed: values.drop(lost) for seed, values in run.of("fcam", "id").items()}
    assert frame.loc["fcam", "id_own_mean"] == pytest.approx(means(own).mean())
    assert frame.loc["fcam", "n_images"] == len(run.of("fcam", "id")[0]) - 1


def test_pages(built):
    text = (built.out / "tables/sensitivity.md").read_text()
    assert "| ALA better than F-CAM | Localisation | 2 | 2 | 0 | 0 | survives every protocol |" in text
    assert "corrected by Holm over the protocols of one line" in text
    assert "| lab-blur-q3-true | **" in text
    assert "| F-CAM | 3 |" in (built.out / "tables/common_model.md").read_text()


def test_a_metric_of_the_users_own_has_its_lines(run):
    mine = {Key(*key[:2], "strict", "mine"): values for key, values in run.scores.items()
            if key[2:] == ("localisation", "energy")}  # fmt: skip
    more = replace(run, scores=run.scores | mine)
    assert table(more).loc["strict", "mine", "ala"]["rank"] == 1
    assert "| strict/mine | **" in sensitivity.twin(more, sensitivity.table(more))
