"""Markdown twins of `sensitivity.csv` and `common_model.csv`."""

from __future__ import annotations

import pandas as pd

from ala.report import ends, rows
from ala.report.captions import ground_truth
from ala.report.markdown import grid, spread
from ala.report.run import Run
from ala.report.statistics import LEVEL

TITLES = {
    "miou": "Mean IoU, by ground truth and threshold rule",
    "insertion": "Insertion",
    "deletion": "Deletion (less is better)",
    "id": "ID",
    "localisation": "Localisation",
}

SURVIVAL = (
    "Each protocol is a test (docs/protocols.md, Statistics), corrected by Holm over the protocols of one line:"
    f" `agree` and `reverse` have p < {LEVEL:g}, `open` all others. MaxBoxAcc, MaxBoxAccV2 and PxAP are scores of a"
    " whole set without a value per photo, so they are not judged; Localisation here is pointing game and energy."
)


def caption(run: Run) -> str:
    """What each name of a protocol means, on which images all are measured, and between which ends curves run."""
    profile = run.settings.active
    metrics = profile.metrics
    per_class = metrics.images_per_class
    photos = "all test photos" if per_class is None else f"{per_class} test photos per class"
    return (
        f"`majority`: {ground_truth(profile.data)}; `anyone`: {ground_truth(profile.data, 0)}; then the threshold rule."
        f" `official`: {metrics.step} pixels per step, deletion to the mean colour, insertion from a blur, for the"
        f" predicted or the true class. `lab-GROUND-QUANTISATION-CLASS`: {metrics.lab_points} points, equal values"
        " enter together, on a black image (`zero`) or on the blurred photo (`blur`), maps as they are (`none`) or in"
        f" three levels (`q3`). Thresholds of the boxes in steps of {metrics.box_step:g}. Each map is probed on the"
        f" model that it explains. All on {photos}, IoU too, and every comparison on the images that all methods share."
        f" Official, predicted class: {ends.sentence(run)} The curves of the other protocols are not kept."
        " docs/protocols.md has formulas and sources."
    )


def sensitivity(run: Run, frame: pd.DataFrame, survived: pd.DataFrame) -> str:
    """Which orders survive, then one table per metric: a row per protocol, a column per method, the best one bold."""
    parts = ["# Sensitivity to the protocol", caption(run), "## Which conclusions survive", SURVIVAL]
    parts.append(_survival(survived))
    if frame.empty:
        return "\n\n".join([*parts, "not run"]) + "\n"
    given = [str(method) for method in frame["method"].unique()]
    shown = [row for row in rows.LABELS if row in given] + [row for row in given if row not in rows.LABELS]
    for kind, title in TITLES.items():
        mine = frame[frame["metric"] == kind] if kind != "localisation" else frame[frame["protocol"] == kind]
        lines = []
        for (protocol, metric), part in mine.groupby(["protocol", "metric"], sort=False):
            cells, mixed = part.set_index("method"), len(set(part["n_images"])) > 1
            name = str(metric if kind == "localisation" else protocol)
            lines.append([name, *(_cell(cells, row, mixed) for row in shown)])
        if lines:
            head = ["metric" if kind == "localisation" else "protocol", *(rows.LABELS.get(row, row) for row in shown)]
            parts += [f"## {title}", grid(head, lines)]
    return "\n\n".join([*parts, "Full precision, with ranks: [sensitivity.csv](sensitivity.csv)."]) + "\n"


def _cell(cells: pd.DataFrame, row: str, mixed: bool) -> str:
    """Mean and spread, bold for the best; the number of images behind, where rows differ in it (`mixed`)."""
    if row not in cells.index:
        return "not run"
    line = cells.loc[row]
    text = spread(line["mean"], line["std"]) + (f" ({line['n_images']} images)" if mixed else "")
    return f"**{text}**" if not pd.isna(line["rank"]) and line["rank"] == 1 else text


def _survival(survived: pd.DataFrame) -> str:
    lines = []
    for line in survived.to_dict("records"):
        cells = [f"{rows.LABELS[line['better']]} better than {rows.LABELS[line['worse']]}", TITLES[line["metric"]]]
        cells += [str(line[name]) for name in ("n_protocols", "agree", "reverse", "open")]
        lines.append([*cells, _verdict(line["agree"], line["reverse"], line["n_protocols"])])
    return grid(["order on the slides", "metric", "protocols", "agree", "reverse", "open", "so"], lines, left=2)


def _verdict(agree: int, reverse: int, protocols: int) -> str:
    if not protocols:
        return "not run"
    if agree == protocols:
        return "survives every protocol"
    if reverse == protocols:
        return "reversed under every protocol"
    if agree and reverse:
        return "depends on the protocol"
    return "never reversed" if agree else "never confirmed"


def on_one_model(run: Run) -> str:
    """What the columns `own` and `common` are."""
    return (
        "Official insertion and deletion of every map on the model that it explains (own), and on"
        f" `{run.settings.main_variant}` (common), on the images that both have. RISE and the model-free maps are"
        " evaluated on the latter anyway, and so is ALA. A map made for another model shows what *that* model looks at:"
        f" a loss here is no fault of the map. On the own models: {ends.sentence(run)} On the common one:"
        f" {ends.sentence(run, ['ala'])}"
    )


def common_model(run: Run, frame: pd.DataFrame) -> str:
    """Each method on its own model and on the common one."""
    head = ["method", "seeds", "photos"]
    head += [f"{name} {model}" for name in ("Insertion ↑", "Deletion ↓", "ID ↑") for model in ("own", "common")]
    lines = []
    for line in frame.to_dict("records"):
        cells = [rows.LABELS[line["method"]], str(line["n_seeds"]), str(line["n_images"])]
        for name in ("insertion", "deletion", "id"):
            cells += [spread(line[f"{name}_{model}_mean"], line[f"{name}_{model}_std"]) for model in ("own", "common")]
        lines.append(cells)
    parts = [
        "# One common model",
        on_one_model(run),
        grid(head, lines),
        "Full precision: [common_model.csv](common_model.csv).",
    ]
    return "\n\n".join(parts) + "\n"
