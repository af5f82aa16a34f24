"""Rounded Markdown twins of the tables: mean ± spread, the slides' value beside ours, the best explainer bold.

What is compared, and may be bold, is always a mean over the images that all rows of the table share. Where a row was
scored on more images than these, one more column has the means over all of them, with their number in each cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ala.report import rows, slides, statistics, tables

HEADS = {"miou": "mean IoU ↑", "insertion": "Insertion ↑", "deletion": "Deletion ↓", "id": "ID ↑"}
ABSENT = "–"


def grid(head: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns are aligned left, the others right."""
    rule = [":--"] * left + ["--:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (list(head), rule, *map(list, lines)))


def number(value: object, digits: int = 3) -> str:
    """A rounded number; `not run` stays, an absent value is a dash."""
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return ABSENT
    return f"{value:.{digits}f}"


def spread(mean: object, deviation: object) -> str:
    """`mean ± deviation`, without the latter where a single seed leaves none."""
    shown = number(mean)
    tail = number(deviation)
    return shown if tail in (ABSENT, tables.NOT_RUN) or shown == ABSENT else f"{shown} ± {tail}"


def _label(line: pd.Series, key: str) -> str:
    return rows.LABELS[str(line[key])]


def _best(table: pd.DataFrame, key: str, column: str, largest: bool) -> set[str]:
    """The rows whose value rounds to the best among explainers (of an ablation table: among all rows)."""
    rivals = table[table[key].isin(rows.EXPLAINERS)] if key == "method" else table
    values = pd.to_numeric(rivals[column], errors="coerce").dropna()
    if values.empty:
        return set()
    best = number(values.max() if largest else values.min())
    names = rivals[key].astype(str)
    return {names[index] for index in values.index if number(values[index]) == best}


def on_other_images(table: pd.DataFrame, metric: str) -> bool:
    """Whether a row's mean of `metric` over all of its images differs from that over the images that all rows share."""
    pairs = zip(table[f"{metric}_mean"], table[f"{metric}_common_mean"], strict=True)
    return any(isinstance(own, float) and own == own and own != common for own, common in pairs)


def results(table: pd.DataFrame, key: str, which: str, comparable: bool, brief: bool = False) -> str:
    """Our values beside the slides' for table `which` (`main` or `ablation`), whose rows `key` names.

    The slides' values stand in brackets and small where the run is not `comparable` with them
    (:attr:`ala.report.run.Run.comparable`). `brief` leaves out accuracy and the numbers of seeds and images.
    """
    paper = slides.printed(which)
    best = {name: _best(table, key, f"{name}_common_mean", name != "deletion") for name in HEADS}
    switches = ["aea", "sbn"] if which == "ablation" else []
    head = [key, *(name.upper() for name in switches), *([] if brief else ["seeds", "images", "accuracy"])]
    beside = "slides" if comparable else "<sub>slides (not comparable)</sub>"
    wider = {name for name in HEADS if on_other_images(table, name)}
    for name, title in HEADS.items():
        head += [title, beside, *([f"{title[:-2]}, all images (number)"] if name in wider else [])]
    lines = []
    for _, line in table.iterrows():
        name = str(line[key])
        if brief and name == rows.ZERO_SHOT:  # it has an accuracy and nothing else
            continue
        cells = [_label(line, key), *("✓" if line[switch] == "true" else ABSENT for switch in switches)]
        if not brief:
            seeds = ABSENT if line["n_seeds"] is None else str(line["n_seeds"])
            cells += [seeds, _images(line), spread(line["accuracy_mean"], line["accuracy_std"])]
        for metric in HEADS:
            ours = spread(line[f"{metric}_common_mean"], line[f"{metric}_common_std"])
            cells += [f"**{ours}**" if name in best[metric] else ours]
            printed = str(paper[name][metric]) if name in paper else "not reported"
            cells += [printed if comparable else f"<sub>({printed})</sub>"]
            if metric in wider:
                own = spread(line[f"{metric}_mean"], line[f"{metric}_std"])
                number_of = line["n_images" if metric == "miou" else "n_perturbed"]
                cells += [own if own in (ABSENT, tables.NOT_RUN) else f"{own} ({number_of})"]
        lines.append(cells)
    return grid(head, lines, left=1 + len(switches))


def _images(line: pd.Series) -> str:
    """How many images the mean IoU of a row is over: those that all rows share, and in brackets all of its own."""
    if line["n_common"] is None or line["n_common"] == line["n_images"]:
        return str(line["n_images"])
    return f"{line['n_common']} ({line['n_images']})"


def threshold_rules(table: pd.DataFrame, key: str) -> str:
    """Mean IoU of every row under the four threshold rules (METHODS 5.4), over the images that all rows share."""
    columns = {
        "miou_common_mean": "mean + std (main)",
        "miou_fixed_common_mean": "fixed 0.5",
        "miou_otsu_common_mean": "Otsu",
        "miou_val_common_mean": "best on validation",
    }
    best = {column: _best(table, key, column, True) for column in columns}
    lines = []
    for _, line in table[table[key] != rows.ZERO_SHOT].iterrows():
        cells = [(str(line[key]), column, number(line[column])) for column in columns]
        lines.append(
            [_label(line, key), *(f"**{text}**" if row in best[column] else text for row, column, text in cells)]
        )
    return grid([key, *columns.values()], lines)


def commands(table: pd.DataFrame, key: str) -> str:
    """The command that makes each row again."""
    return grid([key, "command"], [[_label(line, key), f"`{line['command']}`"] for _, line in table.iterrows()], left=2)


def verdicts(table: pd.DataFrame) -> str:
    """The claims with difference, spread, interval and verdict."""
    lines = []
    for _, line in table.iterrows():
        interval = f"[{number(line['ci_low'])}, {number(line['ci_high'])}]" if line["ci_low"] is not None else ABSENT
        reported = number(line["paper_difference"]) if line["paper_difference"] is not None else "not reported"
        lines.append(
            [
                line["claim"],
                line["slide"],
                f"**{line['verdict']}**",
                number(line["difference"]),
                number(line["spread"]),
                interval,
                ABSENT if line["p_holm"] is None else statistics.p_text(line["p_holm"]),
                reported,
                str(line["n_seeds"]),
                str(line["n_images"]),
                line["reason"],
            ]
        )
    head = ["claim", "slide", "verdict", "difference", "spread", "95 % interval", "p (Holm)", "slides", "seeds",
            "photos", "why"]  # fmt: skip
    return grid(head, lines, left=3)
