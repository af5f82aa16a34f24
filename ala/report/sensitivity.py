"""`sensitivity.csv` and `common_model.csv`: what depends on the protocol, and what on the evaluated model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ala.report import ends, slides
from ala.report.captions import ground_truth, subset
from ala.report.render import grid
from ala.report.rows import Row
from ala.report.run import Run
from ala.report.statistics import LEVEL, difference, holm
from ala.report.summary import Scores, Summary, align, common, spread, summarise
from ala.report.table import Table
from ala.report.text import NOT_RUN, spread_text

#: Protocols that are no measurement of their own: what the prediction is, and the same maps on the main model.
LEFT_OUT = ("prediction", "attended", "common-predicted", "official", "lab", "common")
PERTURBED = ("insertion", "deletion", "id")
COLUMNS = ["protocol", "metric", "method", "n_seeds", "n_images", "mean", "std", "rank", "command", "scores"]
COMMON_COLUMNS = [
    "method", "n_seeds", "n_images",
    *(f"{name}_{model}_{kind}" for name in PERTURBED for model in ("own", "common") for kind in ("mean", "std")),
    "command", "scores",
]  # fmt: skip
#: Metrics whose protocols are together in the table of survival, by heading. IoU is called miou in tables.
KINDS = {
    "Mean IoU, by ground truth and threshold rule": ("miou",), "Insertion": ("insertion",),
    "Deletion (less is better)": ("deletion",), "ID": ("id",), "Localisation": ("pointing", "energy"),
}  # fmt: skip

SURVIVAL = (
    "Each protocol is a test (docs/protocols.md, Statistics), corrected by Holm over the protocols of one line:"
    f" `agree` and `reverse` have p < {LEVEL:g}, `open` all others. MaxBoxAcc, MaxBoxAccV2 and PxAP are scores of a"
    " whole set without a value per image, so they are not judged; Localisation here is pointing game and energy."
)


def shown(run: Run) -> list[Row]:
    """The rows of both tables: every method once, but for extensions."""
    return [row for row in run.rows.methods if not row.extension]


def measured(run: Run) -> list[tuple[str, str]]:
    """Every (protocol, metric) with a value per image, in the order of the files."""
    found = dict.fromkeys((key.protocol, key.metric) for key in run.scores)
    return [key for key in found if key[0] not in LEFT_OUT and key[1] != "empty"]


def table(run: Run) -> Table:
    """`sensitivity.csv`: mean and sample standard deviation over seeds under every protocol, and the rank among the
    methods that explain a model (1 is best; less Deletion is better).

    Each mean is over the images on which all methods have that score at that seed, so that no difference between two
    methods is one between images. Scores of the whole set (MaxBoxAcc and the like) keep their own number; methods that
    were scored on different numbers of images have no rank.
    """
    lines = []
    for protocol, metric in measured(run):
        scores = {row.name: _some(run.under(row, protocol, metric)) for row in shown(run)}
        shared = common(scores.values())
        for row in shown(run):
            if scores[row.name]:
                lines.append(_line(run, row, protocol, metric, summarise(scores[row.name], shared)))
    lines += [_line(run, row, *key, one) for row in shown(run) for key, one in _of_whole_sets(run, row)]
    frame = pd.DataFrame(lines, columns=[name for name in COLUMNS if name != "rank"])
    rivals = frame[frame["method"].isin([row.name for row in run.rows.explainers])]
    signed = rivals["mean"].where(rivals["metric"] != "deletion", -rivals["mean"])
    ranks = signed.groupby([rivals["protocol"], rivals["metric"]]).rank(ascending=False, method="min")
    alike = rivals.groupby(["protocol", "metric"])["n_images"].transform("nunique") == 1
    frame["rank"] = ranks.where(alike).astype("Int64")
    return Table("sensitivity", frame[COLUMNS], "Sensitivity to the protocol", caption(run))


def _some(scores: Scores) -> dict[int, pd.Series]:
    return {seed: values for seed, values in scores.items() if len(values)}


def _of_whole_sets(run: Run, row: Row) -> Iterator[tuple[tuple[str, str], Summary]]:
    """Scores of whole sets by (protocol, metric). They are measured on the images of the protocol's other metrics."""
    wanted = {(key.protocol, key.metric) for key in run.whole if key.protocol not in LEFT_OUT}
    for protocol, metric in sorted(wanted):
        values = {key.seed: value for key, value in run.whole.items()
                  if (key.method, key.protocol, key.metric) == (row.method, protocol, metric)}  # fmt: skip
        if values:
            seeds = [seed for seed in run.settings.seeds if seed in values]
            images = [max((len(scores) for key, scores in run.scores.items()
                           if key[:3] == (row.method, seed, protocol)), default=0) for seed in seeds]  # fmt: skip
            numbers = spread(pd.Series([values[seed] for seed in seeds]))
            yield (protocol, metric), Summary(*numbers, len(seeds), min(images))


def _line(run: Run, row: Row, protocol: str, metric: str, found: Summary) -> dict[str, object]:
    return {
        "protocol": protocol, "metric": "miou" if metric == "iou" else metric, "method": row.name,
        "n_seeds": found.n_seeds, "n_images": found.n_images, "mean": found.mean, "std": found.std,
        "command": row.command(run.settings.seeds), "scores": run.files(row),
    }  # fmt: skip


def survival(run: Run) -> Table:
    """How often an order of the slides is seen: one line per order and metric, over all protocols of that metric.

    Each protocol is a test (:func:`ala.report.statistics.difference`); Holm's correction is over the protocols of one
    line. `agree`: p < 0.05 after correction, in the order of the slides; `reverse`: the other way round; `open`:
    neither, or not testable. Scores of whole sets have no value per image and are not judged.
    """
    lines = []
    for better, worse in slides.content()["orders"]:
        if better not in run.rows or worse not in run.rows:
            continue
        classes = run.labels(better)
        for heading, metrics in KINDS.items():
            p_values, signs = [], []
            for protocol, metric in measured(run):
                if ("miou" if metric == "iou" else metric) not in metrics:
                    continue
                pair = align(run.under(better, protocol, metric), run.under(worse, protocol, metric), classes)
                if pair is None:
                    continue
                tested = difference(*pair)
                p_values.append(np.nan if tested is None else tested.p)
                signs.append(0 if tested is None else np.sign(tested.mean) * (-1 if metric == "deletion" else 1))
            called = np.where(holm(p_values) < LEVEL, signs, 0)
            counts = {name: int((called == sign).sum()) for name, sign in (("agree", 1), ("reverse", -1), ("open", 0))}
            order = f"{run.rows.label(better)} better than {run.rows.label(worse)}"
            lines.append({"order on the slides": order, "metric": heading, "n_protocols": len(signs), **counts,
                          "so": _verdict(counts["agree"], counts["reverse"], len(signs))})  # fmt: skip
    return Table("survival", pd.DataFrame(lines), "Which conclusions survive", SURVIVAL)


def _verdict(agree: int, reverse: int, protocols: int) -> str:
    if not protocols:
        return NOT_RUN
    if agree == protocols:
        return "survives every protocol"
    if reverse == protocols:
        return "reversed under every protocol"
    if agree and reverse:
        return "depends on the protocol"
    return "never reversed" if agree else "never confirmed"


def caption(run: Run) -> str:
    """What each name of a protocol means, on which images all are measured, and between which ends curves run."""
    profile = run.settings.active
    metrics = profile.metrics
    return (
        f"`majority`: {ground_truth(profile.data)}; `anyone`: {ground_truth(profile.data, 0)}; then the threshold rule."
        f" `official`: {metrics.step} pixels per step, deletion to the mean colour, insertion from a blur, for the"
        f" predicted or the true class. `lab-SUBSTRATE-QUANTISATION-CLASS`: {metrics.lab_points} points, equal values"
        " enter together, on a black image (`zero`) or on the blurred image (`blur`), maps as they are (`none`) or in"
        f" three levels (`q3`). Thresholds of the boxes in steps of {metrics.box_step:g}. Each map is evaluated on the"
        f" model that it explains. All on {subset(run)}, IoU too, and every comparison on the images that all methods"
        f" share. Official, predicted class: {ends.sentence(run)} The curves of the other protocols are not kept."
        " docs/protocols.md has formulas and sources."
    )


def twin(run: Run, found: Table) -> str:
    """One Markdown table per metric: a line per protocol, a column per method, the best one bold."""
    frame, parts = found.frame, []
    names = [row.name for row in shown(run) if row.name in set(frame["method"])]
    kinds = {heading: frame[frame["metric"] == metrics[0]] for heading, metrics in KINDS.items() if len(metrics) == 1}
    kinds |= {"Localisation": frame[frame["protocol"] == "localisation"]}
    rest = frame[~frame.index.isin(pd.concat(kinds.values()).index)]
    for heading, part in {**kinds, "Other metrics": rest}.items():
        lines = []
        for (protocol, metric), line in part.groupby(["protocol", "metric"], sort=False):
            by_method, mixed = line.set_index("method"), len(set(line["n_images"])) > 1
            name = {"Localisation": metric, "Other metrics": f"{protocol}/{metric}"}.get(heading, protocol)
            lines.append([str(name), *(_cell(by_method, method, mixed) for method in names)])
        if lines:
            parts += [f"## {heading}", grid(["protocol", *map(run.rows.label, names)], lines)]
    return "\n\n".join(parts)


def _cell(by_method: pd.DataFrame, method: str, mixed: bool) -> str:
    """Mean and spread, bold for the best; the number of images behind, where rows differ in it (`mixed`)."""
    if method not in by_method.index:
        return NOT_RUN
    line = by_method.loc[method]
    text = spread_text(line["mean"], line["std"]) + (f" ({line['n_images']} images)" if mixed else "")
    return f"**{text}**" if not pd.isna(line["rank"]) and line["rank"] == 1 else text


def common_model(run: Run) -> Table:
    """`common_model.csv`: official insertion, deletion and ID of every method on its own model and on the main one.

    All over the images that have both."""
    lines = []
    for row in shown(run):
        on_main = row.evaluated == run.settings.main_variant
        line: dict[str, object] = {"method": row.name}
        for name in PERTURBED:
            own = run.of(row, name)
            other = own if on_main else run.under(row, "common-predicted", name)
            both = {seed: own[seed].index.intersection(other[seed].index) for seed in own}
            for model, scores in (("own", own), ("common", other)):
                found = summarise({seed: scores[seed].loc[ids] for seed, ids in both.items() if len(ids)})
                ran = found.n_seeds > 0
                line |= {"n_seeds": found.n_seeds, "n_images": found.n_images if ran else NOT_RUN}
                line |= {f"{name}_{model}_mean": found.mean if ran else NOT_RUN, f"{name}_{model}_std": found.std}
        lines.append(line | {"command": row.command(run.settings.seeds), "scores": run.files(row)})
    said = (
        "Official insertion and deletion of every map on the model that it explains (own), and on"
        f" `{run.settings.main_variant}` (common), on the images that both have. Maps that explain the main model, or"
        " none, are evaluated on the latter anyway. A map made for another model shows what *that* model looks at:"
        f" a loss here is no fault of the map. On the own models: {ends.sentence(run)} On the common one:"
        f" {ends.sentence(run, [row for row in run.rows if row.evaluated == run.settings.main_variant])}"
    )
    frame = pd.DataFrame(lines, columns=COMMON_COLUMNS, dtype=object)
    return Table("common_model", frame, "One common model", said, lead=("id_own", "id_common"))
